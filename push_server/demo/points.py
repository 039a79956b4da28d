"""The shop's points: one for each full dollar, for LIFE; and what customers spent of them.

The file knows no points. Earning follows from its purchases; who spent how much is made up from the customer's number,
the same each time. What is left is counted here in plain Python, apart from the server, which is judged by it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from push_server.clock import rfc3339
from push_server.demo.data import ZONE, Person

LIFE = timedelta(days=500)
FEWEST = 20
"""Points below which nobody spends any."""


@dataclass(slots=True)
class Lot:
    """The points of one purchase, and how many of them are unspent today."""

    lot_id: str
    points: int
    earned_at: datetime
    left: int

    @property
    def expires_at(self) -> datetime:
        """The first instant at which they no longer count."""
        return self.earned_at + LIFE


@dataclass(frozen=True, slots=True)
class Spent:
    """Points spent, a minute before the purchase that they made cheaper."""

    redemption_id: str
    points: int
    at: datetime


def account(person: Person) -> tuple[list[Lot], list[Spent]]:
    """All that a customer has earned and spent. Every lot lives equally long, so the oldest is spent first."""
    chance = Random(f"points {person.customer}")
    lots: list[Lot] = []
    spent: list[Spent] = []
    for purchase in person.purchases:
        at = purchase.at - timedelta(minutes=1)
        alive = [lot for lot in lots if lot.earned_at <= at < lot.expires_at]
        has = sum(lot.left for lot in alive)
        if has >= FEWEST and chance.random() < 0.5:
            wanted = chance.randrange(10, has + 1, 10)
            spent.append(Spent(f"spent-{purchase.order_id}", wanted, at))
            for lot in alive:
                taken = min(lot.left, wanted)
                lot.left -= taken
                wanted -= taken
        if points := int(purchase.revenue):
            lots.append(Lot(f"order-{purchase.order_id}", points, purchase.at, points))
    return lots, spent


def rows(people: list[Person]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Everybody's lots and redemptions as the API takes them."""
    lots: list[dict[str, Any]] = []
    redemptions: list[dict[str, Any]] = []
    for person in people:
        earned, spent = account(person)
        lots += [
            {
                "lot_id": lot.lot_id,
                "customer": person.customer,
                "points": lot.points,
                "earned_at": rfc3339(lot.earned_at),
                "expires_at": rfc3339(lot.expires_at),
            }
            for lot in earned
        ]
        redemptions += [
            {
                "redemption_id": each.redemption_id,
                "customer": person.customer,
                "points": each.points,
                "at": rfc3339(each.at),
            }
            for each in spent
        ]
    return lots, redemptions


def expiring(person: Person, at: datetime, days: int) -> int:
    """How many unspent points expire within so many days after the instant."""
    return sum(lot.left for lot in _alive(person, at) if lot.expires_at <= at + timedelta(days=days))


def reminder(person: Person, at: datetime) -> str:
    """What a customer is to be told of his points at the instant, with the day as it is where the shop is."""
    alive, zone = _alive(person, at), ZoneInfo(ZONE)
    if not alive:
        return "nothing at all"
    day = min(lot.expires_at for lot in alive).astimezone(zone).date()
    first = sum(lot.left for lot in alive if lot.expires_at.astimezone(zone).date() == day)
    return f"You have {sum(lot.left for lot in alive)} points, {first} of them expire on {day.day} {day:%B}."


def _alive(person: Person, at: datetime) -> list[Lot]:
    return [lot for lot in account(person)[0] if lot.left and lot.earned_at <= at < lot.expires_at]
