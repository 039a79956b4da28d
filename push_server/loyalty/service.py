"""Taking lots and redemptions in by the shop's own ids, and a customer's loyalty now."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

import psycopg
from sqlalchemy import text

from push_server import clock
from push_server.customers.changes import note
from push_server.customers.identity import Connection, People, Raced, lock_site
from push_server.db import SiteSession
from push_server.errors import Conflict, Fault
from push_server.loyalty.program import Expiry, Program, program_of
from push_server.loyalty.shapes import MOST
from push_server.loyalty.store import LotFact, RedemptionFact, Taken, take_lots, take_redemptions


class LotGiven(NamedTuple):
    """A lot of a customer by the shop's own id; `earned_at` None: now, `expires_at` None: never."""

    lot_id: str
    customer: str
    points: int
    earned_at: datetime | None
    expires_at: Expiry


class RedemptionGiven(NamedTuple):
    """A redemption of a customer by the shop's own id; `at` None: now."""

    redemption_id: str
    customer: str
    points: int
    at: datetime | None


class Loyalty(NamedTuple):
    """A customer's loyalty at one instant; rows as in the select statements below."""

    balance: int
    tier: str | None
    next_tier: str | None
    next_expiry: Any
    lots: list[Any]
    redemptions: list[Any]


def add_lots(session: SiteSession, given: list[LotGiven]) -> int:
    """Take the lots in, each lot_id once; returns how many were new.

    Raises Conflict when a lot_id stands with other content; customers are created when new.
    """
    conn, site_id = session.raw, session.site_id
    ids = _customers(conn, site_id, {lot.customer for lot in given})
    facts = [LotFact(lot.lot_id, ids[lot.customer], *lot[2:]) for lot in given]
    taken = take_lots(conn, site_id, facts, clock.now())
    _refuse_other(taken, "lots", "lot_id", [lot.lot_id for lot in given])
    return len(taken.new)


def redeem(session: SiteSession, given: list[RedemptionGiven]) -> int:
    """Take the redemptions in, each redemption_id once; returns how many were new.

    Raises Conflict when a redemption_id stands with other content, and when no lots cover one at its instant, or one
    at an instant in the past leaves a later one uncovered. Roll back then.
    """
    conn, site_id = session.raw, session.site_id
    ids = _customers(conn, site_id, {each.customer for each in given})
    facts = [RedemptionFact(each.redemption_id, ids[each.customer], *each[2:]) for each in given]
    taken = take_redemptions(conn, site_id, facts, clock.now())
    named = [each.redemption_id for each in given]
    _refuse_other(taken, "redemptions", "redemption_id", named)
    if taken.uncovered:
        raise Conflict(
            "The customer's lots do not cover this at its instant, or not what he spent later any more. Nothing was"
            " redeemed; `errors` names what is not covered.",
            code="not_enough_points",
            faults=[
                Fault(f"$.redemptions[{at}].points", "is more than the lots then alive cover", "not_enough_points")
                for at, id in enumerate(named)
                if id in taken.uncovered
            ],
        )
    return len(taken.new)


def loyalty_of(session: SiteSession, customer_id: int) -> Loyalty:
    """What a customer has now: balance, tier, what expires next, and the newest lots and redemptions."""
    place = {"site": session.site_id, "customer": customer_id, "now": clock.now(), "most": MOST}
    balance = session.sql(_BALANCE, place).scalar_one()
    tier = session.sql(_TIER, place).scalar_one_or_none()
    lots, redemptions = session.sql(_LOTS, place).all(), session.sql(_REDEMPTIONS, place).all()
    above = (program_of(session.raw, session.site_id) or Program()).next_tier(tier)
    return Loyalty(balance, tier, above, session.sql(_NEXT, place).first(), lots, redemptions)


def _customers(conn: Connection, site_id: int, external_ids: set[str]) -> dict[str, int]:
    """The customers' ids by the shop's own; those who are new are created."""
    lock_site(conn, site_id)
    while True:
        try:
            with conn.transaction():
                people = People(conn, site_id)
                people.load(external_ids, set())
                found = {id: people.find(id, None) for id in sorted(external_ids)}
                people.store()
                note(conn, site_id, people.changes)
                return {id: person.id for id, person in found.items()}
        except (Raced, psycopg.errors.UniqueViolation):
            continue


def _refuse_other(taken: Taken, group: str, name: str, ids: Iterable[str]) -> None:
    if taken.other:
        raise Conflict(
            f"A {name} stands already with other content. It cannot be changed: send a new one under a new id.",
            code=f"{name}_reused",
            faults=[
                Fault(f"$.{group}[{at}].{name}", "stands already with other content", f"{name}_reused")
                for at, id in enumerate(ids)
                if id in taken.other
            ],
        )


_ALIVE = "from points_value where site_id = :site and customer_id = :customer and since <= :now and until > :now"
_BALANCE = text(f"select coalesce(sum(points), 0)::bigint {_ALIVE}")
_NEXT = text(
    f"select expires_at as at, sum(points)::bigint as points {_ALIVE}"
    " and expires_at <> 'infinity' group by expires_at order by expires_at limit 1"
)
_TIER = text(
    "select tier from tier_change where site_id = :site and customer_id = :customer and at <= :now"
    " order by at desc, seq desc limit 1"
)
_LOTS = text(
    """
    select l.lot_id, l.points, l.earned_at, l.expires_at, coalesce(v.points, 0) as remaining,
           case when l.expires_at <= l.earned_at then 0 else l.points - coalesce(last.points, 0) end as spent
    from points_lot l
    left join points_value v on v.lot_ref = l.id and v.since <= :now and v.until > :now
    left join points_value last on last.lot_ref = l.id and last.until = last.expires_at
    where l.site_id = :site and l.customer_id = :customer
    order by l.earned_at desc, l.id desc limit :most
    """
)
_REDEMPTIONS = text(
    "select redemption_id, points, at, state from points_redemption where site_id = :site and customer_id = :customer"
    " order by at desc, id desc limit :most"
)
