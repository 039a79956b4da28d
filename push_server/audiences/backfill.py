"""Finding the members of segments in the background, a slice of the customers at a time.

A slice is asked for without the site's membership lock, however long it takes. Then what it changes is written under
the lock, a few thousand customers in each transaction, together with how far that is: whoever dies in between has done
so much, and his successor goes on from there. All the while, steps judge whoever changes, as they do when a segment is
ready; whom they judged since the slice was asked for is left out of what it writes.
"""

import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Final

import numpy as np
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlmodel import col, or_, select

from push_server import clock
from push_server.audiences.borders import leaves_of, stored_borders
from push_server.audiences.diff import Diff, Numbers
from push_server.audiences.models import Backfill, Segment, SegmentState
from push_server.audiences.rules import Part, SiteRules, evaluation
from push_server.audiences.slow_borders import find_borders
from push_server.audiences.step import lock_memberships
from push_server.audiences.waiting import LAST_ID
from push_server.audiences.whole import count_members
from push_server.db import Database, SiteSession
from push_server.errors import HomingError, Invalid
from push_server.settings import settings

log = logging.getLogger(__name__)

EVERY: Final = 0.2
"""Seconds between the scheduler's looks."""
SLICE: Final = 1.0
"""Seconds that asking for a slice should take; the next one is as much wider or narrower."""
AT_ONCE: Final = 10_000
"""Members found or stored that are compared under the lock at once."""
LEAST_WIDTH: Final = 2**31 // 4096
"""Of customer ids. A rule that is too slow even for so few of them is not made for so many."""
FIRST_REST, LONGEST_REST = timedelta(minutes=1), timedelta(hours=6)
"""How long a rule that failed rests; each time twice as long."""
_TICK: Final = 5.0  # seconds of one look
_SLOW: Final = "rule_too_slow"


@dataclass(frozen=True, slots=True)
class _Found:
    """A slice's members, ascending, and the last change that was told before they were asked for."""

    backfill_id: int
    segment_id: int
    part: Part
    members: Numbers
    seen: int
    seconds: float


def tick(database: Database) -> int:
    """What the scheduler repeats: a slice for each segment that waits, in turn, for some seconds; how many slices."""
    began, slices = time.monotonic(), 0
    while waiting := _waiting(database):
        for site_id, backfill_id in waiting:
            _go_on(database, site_id, backfill_id)
            slices += 1
        if time.monotonic() - began > _TICK:
            break
    return slices


def _waiting(database: Database) -> list[tuple[int, int]]:
    """(site, row) of each that is to be worked on now; what has taken least so far comes first."""
    with database.session() as session:
        is_due = or_(col(Backfill.retry_at).is_(None), col(Backfill.retry_at) <= clock.now())
        rows = session.exec(
            select(Backfill.site_id, Backfill.id)
            .where(is_due)
            .order_by(col(Backfill.spent_ms), col(Backfill.id))
            .execution_options(all_sites=True)
        )
        return [(site_id, id) for site_id, id in rows if id is not None]


def _go_on(database: Database, site_id: int, backfill_id: int) -> None:
    """One slice more."""
    is_slice = False
    try:
        with database.session(site_id=site_id) as session:
            _start(session, backfill_id)
        find_borders(database, site_id, backfill_id)
        is_slice = True
        with database.session(site_id=site_id) as session:
            found = _find(session, backfill_id)
        if found is not None:
            _write(database, site_id, found)
    except HomingError as error:
        with database.session(site_id=site_id) as session:
            _set_back(session, backfill_id, error, can_be_narrowed=is_slice and error.code == _SLOW)
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        log.exception("the members of a segment cannot be found")
        with database.session(site_id=site_id) as session:
            _set_back(session, backfill_id, _unknown(error), can_be_narrowed=False)


def _start(session: SiteSession, backfill_id: int) -> None:
    """Under the lock, so that each step from here on tells whom it judges."""
    backfill = session.get(Backfill, backfill_id)
    if backfill is not None and backfill.retry_at is not None:
        lock_memberships(session)
        session.refresh(backfill)
        backfill.retry_at, backfill.spent_ms = None, 0
        session.add(backfill)


def _find(session: SiteSession, backfill_id: int) -> _Found | None:
    """The next slice's members at this instant; None when they are not wanted any more."""
    backfill = session.get(Backfill, backfill_id)
    if backfill is None:
        return None
    if _is_spent(backfill):
        raise _too_slow()
    began, rules = time.monotonic(), SiteRules(session)
    segment = session.get_one(Segment, backfill.segment_id)
    part = Part(backfill.reached, min(backfill.reached + backfill.width, LAST_ID))
    seen = session.sql(_SEEN, {"backfill": backfill_id}).scalar_one()  # before anything that the members hang on
    rule, leaves = rules.parse(segment.rule), leaves_of(rules, segment)
    borders = stored_borders(session, leaves)
    if set(leaves) - borders.keys():  # forgotten this moment
        return None
    with evaluation(session):
        statement = rules.members(rule, clock.now(), borders, part)
        members = np.sort(np.array(session.sql(statement).scalars().all(), np.int64))
    return _Found(backfill_id, backfill.segment_id, part, members, seen, time.monotonic() - began)


def _write(database: Database, site_id: int, found: _Found) -> None:
    """Bring the stored members of the slice in line, and note how far that is; the last slice makes it ready."""
    with database.session(site_id=site_id) as session:
        many = len(found.members) + len(_stored(session, found.segment_id, found.part))
    for part in _parts(found.part, math.ceil(many / AT_ONCE)):
        began = time.monotonic()
        with database.session(site_id=site_id) as session:
            lock_memberships(session)
            backfill = session.get(Backfill, found.backfill_id)
            if backfill is None:  # the rule was edited or deleted meanwhile
                return
            _write_part(session, found, part)
            backfill.reached = part.upto
            backfill.spent_ms += round((time.monotonic() - began) * 1000)
            if part.upto == found.part.upto:
                backfill.spent_ms += round(found.seconds * 1000)
                backfill.width = _fitting(backfill.width, found.seconds)
            session.add(backfill)
            if part.upto == LAST_ID:
                _finish(session, backfill)


def _parts(whole: Part, many: int) -> Iterator[Part]:
    """Parts of equal width; the ids in them are nearly as many in each."""
    bounds = np.linspace(whole.after, whole.upto, max(many, 1) + 1).astype(int).tolist()
    yield from (Part(after, upto) for after, upto in pairwise(bounds))


def _write_part(session: SiteSession, found: _Found, part: Part) -> None:
    members = found.members[np.searchsorted(found.members, part.after, "right") :]
    members = members[: np.searchsorted(members, part.upto, "right")]
    judged = session.sql(_JUDGED, {"backfill": found.backfill_id, "seen": found.seen}).scalars().all()
    either = np.union1d(members, _stored(session, found.segment_id, part))
    either = np.setdiff1d(either, np.array(judged, np.int64))
    if len(either):
        diff = Diff(session.raw, session.site_id, either, [found.segment_id])
        diff.write({found.segment_id: np.isin(either, members)}, clock.now(), ())


def _stored(session: SiteSession, segment_id: int, part: Part) -> Numbers:
    place = {"segment": segment_id, "after": part.after, "upto": part.upto}
    return np.array(session.sql(_STORED, place).scalars().all(), np.int64)


def _fitting(width: int, seconds: float) -> int:
    """The width that is likely to take SLICE seconds."""
    return round(min(max(width * min(max(SLICE / max(seconds, 0.001), 0.25), 4), LEAST_WIDTH), LAST_ID))


def _finish(session: SiteSession, backfill: Backfill) -> None:
    segment, at = session.get_one(Segment, backfill.segment_id, populate_existing=True), clock.now()
    segment.size, segment.reachable = count_members(session, backfill.segment_id)
    segment.state, segment.fresh_at, segment.whole_ms = SegmentState.READY, at, backfill.spent_ms
    segment.rule_since = segment.rule_since or at
    session.add(segment)
    session.delete(backfill)


def _set_back(session: SiteSession, backfill_id: int, error: HomingError, *, can_be_narrowed: bool) -> None:
    """Narrower slices next time, or a rest, and who asks is told why."""
    lock_memberships(session)
    backfill = session.get(Backfill, backfill_id)
    if backfill is None:
        return
    if can_be_narrowed and backfill.width > LEAST_WIDTH and not _is_spent(backfill):
        backfill.width = max(backfill.width // 8, LEAST_WIDTH)
        backfill.spent_ms += round(settings().rule_timeout * 1000)
        session.add(backfill)
        return
    segment = session.get_one(Segment, backfill.segment_id)
    now, rest = clock.now(), min(FIRST_REST * 2 ** min(backfill.failures, 20), LONGEST_REST)
    log.warning("the members of segment %s could not be found: %s", segment.public_id, error.detail)
    since = backfill.problem["since"] if backfill.problem else clock.rfc3339(now)
    backfill.problem = {"code": error.code, "detail": error.detail, "since": since}
    backfill.failures, backfill.retry_at = backfill.failures + 1, now + rest
    if segment.state == SegmentState.PENDING:
        segment.state = SegmentState.FAILED
    session.add_all([backfill, segment])
    session.sql(_FORGET, {"backfill": backfill_id})


def _is_spent(backfill: Backfill) -> bool:
    return backfill.spent_ms > settings().backfill_timeout * 1000


def _too_slow() -> Invalid:
    return Invalid(
        f"Finding the members took longer than {settings().backfill_timeout:.3g} s in all and was stopped."
        " Narrow the windows, or split the rule into segments of its own.",
        code=_SLOW,
    )


def _unknown(error: DBAPIError) -> HomingError:
    reason = str(error.orig).strip().splitlines()[0]
    return HomingError(f"PostgreSQL could not evaluate the rule: {reason}", code="evaluation_failed")


_SEEN = text("select coalesce(max(id), 0) from backfill_change where backfill_id = :backfill")
_JUDGED = text("select unnest(customers) from backfill_change where backfill_id = :backfill and id > :seen")
_FORGET = text("delete from backfill_change where backfill_id = :backfill")
_STORED = text(
    "select customer_id from segment_member where segment_id = :segment"
    " and customer_id > :after and customer_id <= :upto"
)
