"""Frequency caps: whether a customer may get one more message, and whether a more important one comes first.

It is decided while deliveries are claimed, in the claim's transaction and one claim of a site after the other, so that
no two of them take the same place. A claimed delivery has its place until it has come to its end, and keeps it when it
was accepted.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Final

from psycopg.rows import class_row

from push_server.customers.identity import lock_site
from push_server.db import SiteSession, array
from push_server.delivery.models import COUNTED, DeliveryState, Dispatch, Reason
from push_server.delivery.prepare import Claimed
from push_server.delivery.settle import Settlement, write_within
from push_server.sites.caps import Cap

LOOK_AHEAD: Final = timedelta(days=1)
"""A more important message that is planned for later than this is not waited for."""
WAIT: Final = timedelta(seconds=10)
"""After which a message looks again, at the earliest, whether a more important one that is due has gone."""
LONGEST_WAIT: Final = timedelta(minutes=15)
"""After which it looks whether one that is planned for later still is: it may have been paused, or cancelled."""
LAST_LOOK: Final = timedelta(seconds=20)
"""Before its life ends: then it waits no more."""
_LOCK: Final = 11 << 56  # apart from other advisory locks
_PARTS_BITS: Final = 6
# By the first bits of their ids, since the audience comes in the order of these: so a chunk has a few of the 64 parts.
# Locked in one order by all. Deliveries in whatever state, since one may be queued again before it is claimed.
_LOCK_PARTS: Final = """
select pg_advisory_xact_lock(part) from (
    select distinct %(lock)s | (customer_id >> %(shift)s) as part from delivery
    where id = any(%(ids)s::bigint[]) and site_id = %(site)s order by part
) parts
"""


class Place(Enum):
    """Whether there is room for a message."""

    FREE = auto()
    AWAITED = auto()  # by a more important one that has not gone yet
    TAKEN = auto()


@dataclass(frozen=True, slots=True)
class Other:
    """Another message to the customer. `priority` None: caps do not limit it. `sent_at`: None while it is under way.

    `waits`: it is planned and not under way yet; the sweeper looks at it at `due_at`.
    """

    customer_id: int
    dispatch_id: int
    message_class: str
    priority: int | None
    sent_at: datetime | None
    waits: bool
    due_at: datetime | None


def place(caps: Sequence[Cap], dispatch: Dispatch, others: Sequence[Other], now: datetime) -> Place:
    """Whether the dispatch's message may go to a customer who got, gets, or is to get these others."""
    for cap in caps:
        if cap.concerns(dispatch.message_class) and _taken(cap, others, now) >= cap.limit:
            return Place.TAKEN
    return Place.AWAITED if awaited(caps, dispatch, others, now) else Place.FREE


def awaited(caps: Sequence[Cap], dispatch: Dispatch, others: Sequence[Other], now: datetime) -> list[Other]:
    """The more important messages that wait themselves, of each cap that they leave no place for the dispatch's.

    Of messages of equal priority the one that was started first is the more important.
    """
    assert dispatch.priority is not None
    found, mine = list[Other](), (-dispatch.priority, dispatch.id or 0)
    for cap in caps:
        if not cap.concerns(dispatch.message_class):
            continue
        ahead = [
            other
            for other in others
            if other.waits
            and other.priority is not None
            and cap.concerns(other.message_class)
            and (-other.priority, other.dispatch_id) < mine
        ]
        if _taken(cap, others, now) + len(ahead) >= cap.limit:
            found += ahead
    return found


def _taken(cap: Cap, others: Iterable[Other], now: datetime) -> int:
    """How many of the cap's places are taken."""
    since = now - cap.within
    return sum(
        not other.waits and cap.concerns(other.message_class) and (other.sent_at is None or other.sent_at > since)
        for other in others
    )


def keep_caps(
    session: SiteSession, caps: Sequence[Cap], dispatch: Dispatch, rows: Sequence[Claimed], now: datetime
) -> list[Claimed]:
    """Those of the claimed deliveries that may go; the others are ended, or wait. `lock_caps` was called before."""
    others, own = _others(session, caps, dispatch, rows, now)
    allowed, settled = list[Claimed](), list[Settlement]()
    for row in rows:
        found = others.get(row.customer_id, [])
        where = Place.FREE if row.customer_id in own else place(caps, dispatch, found, now)
        if where is Place.FREE:
            allowed.append(row)
        elif where is Place.AWAITED and now < row.expires_at - LAST_LOOK:
            until = look_again_at(awaited(caps, dispatch, found, now), row.expires_at, now)
            settled.append(Settlement(row.id, row.attempts, DeliveryState.QUEUED, due_at=until))
        else:
            settled.append(Settlement(row.id, row.attempts, DeliveryState.SUPPRESSED, Reason.CAPPED))
    if settled:
        write_within(session, settled)
    return allowed


def look_again_at(ahead: Iterable[Other], expires_at: datetime, now: datetime) -> datetime:
    """When a message that waits for these looks again: as the first of them goes, and before its own life ends."""
    first = min(other.due_at or now for other in ahead)
    return min(max(first, now + WAIT), now + LONGEST_WAIT, expires_at - LAST_LOOK)


def lock_caps(session: SiteSession, ids: Iterable[int]) -> None:
    """Until the transaction ends nobody else claims a delivery that caps limit to the customers of these."""
    lock_site(session.raw, session.site_id)  # a merge moves deliveries to another customer
    lock = _LOCK | session.site_id << _PARTS_BITS
    asked = {"lock": lock, "shift": 31 - _PARTS_BITS, "ids": array(ids), "site": session.site_id}
    session.raw.execute(_LOCK_PARTS, asked, prepare=False)


def _others(
    session: SiteSession, caps: Iterable[Cap], dispatch: Dispatch, rows: Sequence[Claimed], now: datetime
) -> tuple[dict[int, list[Other]], set[int]]:
    """By customer the other messages that count; and who has got this one already, with another of his browsers."""
    others, own = defaultdict[int, list[Other]](list), set[int]()
    asked = {
        "customers": array(row.customer_id for row in rows),
        "site": session.site_id,
        "since": now - max(cap.within for cap in caps),
        "ahead": now + LOOK_AHEAD,
        "claimed": array(row.id for row in rows),
    }
    with session.raw.cursor(row_factory=class_row(Other)) as cursor:
        for other in cursor.execute(_OTHERS, asked, prepare=False):  # a kept plan was made while the table was smaller
            if other.dispatch_id != dispatch.id:
                others[other.customer_id].append(other)
            elif not other.waits:
                own.add(other.customer_id)
    return others, own


# A message counts once, however many browsers it goes to: as under way or sent if it is so with any of them.
# `offset 0` leaves the planner one way to a customer's deliveries: by index, and to those of the window alone. Any
# other takes longer the more there are, be they open or ended, and is chosen while a table has no statistics yet.
_OTHERS = f"""
with theirs as materialized (
    select d.* from unnest(%(customers)s::int[]) as customer(id) cross join lateral (
        select id, customer_id, dispatch_id, state, accepted_at, not_before, due_at from delivery
        where customer_id = customer.id and site_id = %(site)s and {COUNTED} > %(since)s offset 0
    ) d
    where d.id <> all(%(claimed)s::bigint[])
)
select d.customer_id, d.dispatch_id, p.message_class, p.priority, max(d.accepted_at) as sent_at,
       bool_and(d.state = 'queued') as waits, min(d.due_at) as due_at
from theirs d join dispatch p on p.id = d.dispatch_id and not p.is_test
where d.state in ('sending', 'accepted') or (p.paused_at is null and p.cancelled_at is null and (
    d.state = 'retry' or d.not_before is null or d.not_before <= %(ahead)s))
group by d.customer_id, d.dispatch_id, p.message_class, p.priority
"""  # noqa: S608 - no text from outside
