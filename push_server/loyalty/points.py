"""Which lots a customer's redemptions draw from, and what each lot is worth when: pure decisions, no database.

A redemption draws, at its own instant, from the lots then alive (`earned_at <= at < expires_at`), the earliest expiry
first and lots without one last; among equals the one earned first, then by lot id. So whenever any way of drawing
covers all redemptions, this one does: what expires first is of the least use to later ones. Hence a further lot never
leaves a redemption uncovered, but a redemption that comes in late for an instant in the past may leave a later one so.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from heapq import heappop, heappush

NEVER = datetime.max.replace(tzinfo=UTC)
"""Stands for the expiry of a lot that has none."""


@dataclass(frozen=True, slots=True)
class Lot:
    """Points earned together. `ref` is the row."""

    ref: int
    lot_id: str
    points: int
    earned_at: datetime
    expires_at: datetime | None

    @property
    def order(self) -> tuple[datetime, datetime, str]:
        """Sorts lots in the order in which they are drawn from."""
        return self.expires_at or NEVER, self.earned_at, self.lot_id


@dataclass(frozen=True, slots=True)
class Redemption:
    """Points spent at an instant. `ref` is the row, later ones higher."""

    ref: int
    points: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Draw:
    """What one redemption takes from one lot."""

    lot: Lot
    at: datetime
    points: int


@dataclass(frozen=True, slots=True)
class Version:
    """So many points of the lot are unspent from `since` until `until` (NEVER: for ever)."""

    lot: Lot
    since: datetime
    until: datetime
    points: int


def draws(lots: Iterable[Lot], redemptions: Iterable[Redemption]) -> list[Draw] | None:
    """What the redemptions draw, in the order of their instants; None when the lots do not cover them all."""
    coming = sorted(lots, key=lambda lot: lot.earned_at, reverse=True)
    alive: list[tuple[tuple[datetime, datetime, str], int, Lot]] = []
    rest: dict[int, int] = {}
    found: list[Draw] = []
    for redemption in sorted(redemptions, key=lambda each: (each.at, each.ref)):
        while coming and coming[-1].earned_at <= redemption.at:
            lot = coming.pop()
            rest[lot.ref] = lot.points
            heappush(alive, (lot.order, lot.ref, lot))
        wanted = redemption.points
        while wanted:
            if not alive:
                return None
            lot = alive[0][2]
            if (lot.expires_at or NEVER) <= redemption.at or not rest[lot.ref]:
                heappop(alive)
                continue
            taken = min(wanted, rest[lot.ref])
            rest[lot.ref] -= taken
            wanted -= taken
            found.append(Draw(lot, redemption.at, taken))
    return found


def versions(lots: Iterable[Lot], drawn: Sequence[Draw]) -> list[Version]:
    """What is unspent of each lot over time; nothing where it is spent up or not alive."""
    of_lot: dict[int, list[Draw]] = {}
    for draw in drawn:
        of_lot.setdefault(draw.lot.ref, []).append(draw)
    found = []
    for lot in lots:
        since, points, end = lot.earned_at, lot.points, lot.expires_at or NEVER
        for draw in of_lot.get(lot.ref, ()):
            if draw.at > since:
                found.append(Version(lot, since, draw.at, points))
            since, points = draw.at, points - draw.points
        if points and since < end:
            found.append(Version(lot, since, end, points))
    return found
