"""Bringing segments' stored members up to date: evaluate the rule at an instant, write the difference.

Whoever reads a segment brings it up to date first, if it is older than FRESH; so what is read is never more than that
behind the last committed event. `tick` does the same in the background, so that `since` tells when a customer came,
not when somebody first looked.
"""

import logging
import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, func, literal, or_, select, text
from sqlalchemy.exc import DBAPIError
from sqlmodel import col
from sqlmodel import select as select_rows

from push_server import clock
from push_server.audiences.models import Segment, SegmentState, segment_member
from push_server.audiences.rules import SiteRules, evaluation
from push_server.customers.identity import lock_site
from push_server.db import Database, Instant, SiteSession
from push_server.errors import HomingError
from push_server.subscriptions.models import Subscription, SubscriptionState

log = logging.getLogger(__name__)

FRESH = timedelta(seconds=1)
BUSY = timedelta(seconds=2)
IDLE = timedelta(seconds=30)
BUDGET = 0.3  # seconds
_PAUSE = 300.0  # seconds until a rule that failed is tried again
_LOCK = 3 << 56  # apart from other advisory locks


def refresh(session: SiteSession, segment_ids: Iterable[int]) -> None:
    """Bring these segments' members to this instant, those excepted that are fresh enough.

    Locks each until the transaction ends, in ascending order, so that two callers wait for each other instead of
    deadlocking: hand over all that a transaction needs at once.
    """
    for segment_id in sorted(set(segment_ids)):
        if _is_stale(session.get(Segment, segment_id, populate_existing=True)):
            segment = lock_segment(session, segment_id)
            if segment is not None and _is_stale(segment):  # another may have done it while this one waited
                evaluate(session, segment)


def lock_segment(session: SiteSession, segment_id: int) -> Segment | None:
    """Nobody else writes this segment or its members until the transaction ends; None when it is deleted by now."""
    lock_site(session.raw, session.site_id)
    session.sql(text("select pg_advisory_xact_lock(:key)"), {"key": _LOCK | segment_id})
    return session.get(Segment, segment_id, populate_existing=True)


def _is_stale(segment: Segment | None) -> bool:
    if segment is None:
        return False
    return segment.fresh_at is None or not timedelta(0) <= clock.now() - segment.fresh_at < FRESH


def evaluate(session: SiteSession, segment: Segment) -> None:
    """Find the segment's members now and write what changed; the caller holds its lock, or has just made it."""
    assert segment.id is not None
    rules = SiteRules(session)
    at = clock.now()
    found = rules.members(rules.parse(segment.rule), at)
    with evaluation(session):
        segment.size = _write_difference(session, segment.id, found, at)
        segment.reachable = session.sql(_reachable(segment.id)).scalar_one()
    segment.fresh_at, segment.state = at, SegmentState.READY
    session.add(segment)
    session.flush()


def _write_difference(session: SiteSession, segment_id: int, found: Any, at: datetime) -> int:
    """One statement, so that who goes and who comes are seen at one moment; returns how many there are."""
    stored, was, now_in = segment_member, segment_member.alias(), found.cte("now_in")
    stays = select(now_in).where(now_in.c.customer_id == stored.c.customer_id).exists()
    gone = stored.delete().where(stored.c.segment_id == segment_id, ~stays).cte("gone")
    known = select(was).where(was.c.segment_id == segment_id, was.c.customer_id == now_in.c.customer_id).exists()
    new = select(literal(segment_id), now_in.c.customer_id, literal(at, Instant)).where(~known)
    come = stored.insert().from_select(["segment_id", "customer_id", "since"], new).cte("come")
    return int(session.sql(select(func.count()).select_from(now_in).add_cte(gone, come)).scalar_one())


def _reachable(segment_id: int) -> Select[int]:
    active = col(Subscription.state) == SubscriptionState.ACTIVE
    subscribed = select(col(Subscription.id)).where(
        col(Subscription.customer_id) == segment_member.c.customer_id, active
    )
    counted = select(func.count()).select_from(segment_member)
    return counted.where(segment_member.c.segment_id == segment_id, subscribed.exists())


class Background:
    """What the scheduler repeats. Between ticks it remembers how much was written, and which rules were too slow."""

    def __init__(self) -> None:
        self._written: int | None = None
        self._not_before: dict[int, float] = {}

    def tick(self, database: Database) -> int:
        """Refresh the stalest segments, for at most BUDGET seconds; returns how many were refreshed.

        While nothing is written, rules can change by time alone, and are looked at less often.
        """
        stale_after = IDLE if self._is_idle(database) else BUSY
        began, done = time.monotonic(), 0
        for segment_id, site_id in self._stale(database, clock.now() - stale_after):
            try:
                done += self._refresh(database, segment_id, site_id)
            except (HomingError, DBAPIError) as error:
                log.warning("segment %s stays as it was for now: %s", segment_id, error)
                self._not_before[segment_id] = time.monotonic() + _PAUSE
            if time.monotonic() - began > BUDGET:
                break
        return done

    def _is_idle(self, database: Database) -> bool:
        """Whether nothing was written to the tables that rules read; by PostgreSQL's statistics, a second behind."""
        with database.session() as session:
            written = int(session.sql(_WRITTEN).scalar_one())
        before, self._written = self._written, written
        return written == before

    def _stale(self, database: Database, before: datetime) -> list[tuple[int, int]]:
        late = or_(col(Segment.fresh_at).is_(None), col(Segment.fresh_at) < before)
        statement = select_rows(Segment.id, Segment.site_id).where(late).order_by(col(Segment.fresh_at))
        with database.session() as session:
            rows = session.exec(statement.limit(200).execution_options(all_sites=True)).all()
        moment = time.monotonic()
        return [(id, site_id) for id, site_id in rows if id is not None and self._not_before.get(id, 0) <= moment]

    def _refresh(self, database: Database, segment_id: int, site_id: int) -> bool:
        with database.session(site_id=site_id) as session:
            lock_site(session.raw, site_id)
            free = session.sql(text("select pg_try_advisory_xact_lock(:key)"), {"key": _LOCK | segment_id}).scalar_one()
            segment = session.get(Segment, segment_id) if free else None
            if segment is None or not _is_stale(segment):
                return False
            evaluate(session, segment)
            return True


_WRITTEN = text(
    "select coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) from pg_stat_user_tables where relname in"
    " ('customer', 'event_body', 'order_value', 'order_line', 'product', 'subscription', 'delivery', 'receipt',"
    " 'points_value', 'tier_change')"
)

tick = Background().tick
