"""The sweeper: finds jobs again from rows, so that Redis may be emptied and workers may die at any time.

Every tick it puts back on the queue what is due: retries whose time has come, deliveries whose worker lost its lease,
queued ones whose time has come or whose job was lost, and dispatches whose planner died. What it finds is `queued`
again, under a later `due_at`, so that the next tick leaves it alone. It also ends what has outlived its TTL or killed
worker after worker, and dispatches that are done. Of a paused dispatch nothing is put on the queue; what is cancelled
ends in control.py.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Final

import redis

from push_server import clock, queue
from push_server.db import Database, SiteSession
from push_server.delivery.models import expires_at
from push_server.delivery.overdue import OVERDUE, plan_overdue
from push_server.delivery.plan import SWEEP_AFTER
from push_server.delivery.service import PLAN_AGAIN, PLAN_JOB, enqueue_sending
from push_server.delivery.set_back import catch_up
from push_server.delivery.slots import LATE

log = logging.getLogger(__name__)

EVERY: Final = 0.5
"""Seconds between two sweeps; a retry goes out at most so much late, and the queue's wait."""
BACKLOG: Final = 50
"""Jobs waiting to be worked off, above which a queued delivery is not taken for lost: it will have its job there."""
AT_ONCE: Final = 20_000
"""Deliveries of a dispatch that one sweep puts on the queue."""

MAX_LAPSES: Final = 5
"""Leases a delivery may lose. The last two it lost alone in its chunk (see `chunk_size`): so it is what kills."""

_DUE = """
update delivery d
set state = case when due.is_lost then 'failed' when due.expires_at <= %(now)s then 'expired' else 'queued' end,
    reason = case when due.is_lost then 'push_service_error' when due.expires_at <= %(now)s then 'too_late' end,
    due_at = case when not due.is_lost and due.expires_at > %(now)s then %(later)s::timestamptz end,
    lapses = due.lapses, updated_at = %(now)s
from (
    select row.id, row.lapses, {life} as expires_at,
           row.lapses >= %(lapses)s or (p.at_most_once and row.state = 'sending') as is_lost
    from dispatch p cross join lateral (
        select id, state, not_before, lapses + (state = 'sending')::int as lapses from delivery
        where dispatch_id = p.id and {due} and (p.paused_at is null or {own_life} <= %(now)s)
        order by due_at limit %(limit)s for update skip locked
    ) row
    -- before p.expires_at nothing of it can expire: so the rows of one that is paused are left in peace
    where p.state <> 'done' and p.cancelled_at is null and (p.paused_at is null or p.expires_at <= %(now)s)
) due
where d.id = due.id
returning d.id, d.dispatch_id, d.state, d.lapses
"""
_LIFE = {"life": expires_at("row", "p"), "own_life": expires_at("delivery", "p")}
_TO_TRY_AGAIN = _DUE.format(due="state in ('sending', 'retry') and due_at <= %(now)s", **_LIFE)
# What was planned for now is no copy of a job that waits, so it goes on the queue however many wait there.
_PLANNED = _DUE.format(
    due=f"state = 'queued' and due_at <= not_before and due_at <= %(now)s and not ({OVERDUE})", **_LIFE
)
# The jobs of before a pause came to nothing, so what was queued until it ended is due at once.
_LOST = _DUE.format(
    due="state = 'queued' and due_at <= greatest(%(now)s, p.resumed_at + %(wait)s)"
    " and (not_before is null or due_at > not_before)",
    **_LIFE,
)


def sweep(database: Database) -> None:
    """One sweep over all sites."""
    catch_up(database)
    plan_overdue(database)
    now = clock.now()
    with database.session() as session:
        _restart_planners(session, now)
        _enqueue(session, queue.RETRY, _due(session, _TO_TRY_AGAIN, now))
        _enqueue(session, queue.SEND, _due(session, _PLANNED, now))
        if _is_worked_off():
            _enqueue(session, queue.SEND, _due(session, _LOST, now))
        _finish(session, now)


def _restart_planners(session: SiteSession, now: datetime) -> None:
    stale = session.raw.execute(
        "update dispatch set due_at = %(later)s where id in (select id from dispatch where state = 'planning'"
        " and paused_at is null and due_at <= %(now)s order by id for update skip locked) returning id",
        {"now": now, "later": now + PLAN_AGAIN},
    )
    for (dispatch_id,) in stale.fetchall():
        queue.enqueue(session, queue.PLAN, PLAN_JOB, dispatch_id=dispatch_id)


def _due(session: SiteSession, statement: str, now: datetime) -> list[tuple[int, int, str, int]]:
    return session.raw.execute(
        statement,
        {
            "now": now,
            "late": now - LATE,
            "later": now + SWEEP_AFTER,
            "wait": SWEEP_AFTER,
            "limit": AT_ONCE,
            "lapses": MAX_LAPSES,
        },
    ).fetchall()


def _enqueue(session: SiteSession, name: str, due: Iterable[tuple[int, int, str, int]]) -> None:
    together: dict[tuple[int, int], list[int]] = defaultdict(list)
    for delivery_id, dispatch_id, state, lapses in due:
        if state == "queued":
            together[dispatch_id, lapses].append(delivery_id)
        elif state == "failed":
            log.error("delivery %s was given up: %s workers died while they had it", delivery_id, lapses)
    for (dispatch_id, lapses), ids in sorted(together.items()):
        enqueue_sending(session, name, dispatch_id, sorted(ids), lapses)


def _is_worked_off() -> bool:
    try:
        return queue.depth(queue.SEND) < BACKLOG
    except redis.RedisError:
        return False  # jobs could not be put there either


def _finish(session: SiteSession, now: datetime) -> None:
    session.raw.execute(
        """
        update dispatch p set state = 'done', done_at = %(now)s where p.state = 'sending'
        and not exists (select 1 from delivery where dispatch_id = p.id and state in ('sending', 'retry'))
        and not exists (select 1 from delivery where dispatch_id = p.id and state = 'queued')
        """,
        {"now": now},
    )
