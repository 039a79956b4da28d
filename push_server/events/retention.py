"""Deletes events that are older than their site keeps them, and keeps what rules over all time need of them.

`plan` says how far deletion may go; `work` deletes up to there, a batch at a time: each is one short transaction that
takes events with their bodies away and adds them up (`rollup`). Whoever stops it at any moment loses nothing.

A kind's first horizon is announced some time before anything is deleted: from then on rules read both the events and
what they were added up to, and statements that began before must have ended. What arrives later for a time that has
been worked off counts nowhere.
"""

import logging
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, NamedTuple

from push_server import clock
from push_server.customers.changes import note
from push_server.customers.identity import Connection, lock_site
from push_server.db import Database
from push_server.events.horizons import LAG
from push_server.events.partitions import drop_empty, parts_before
from push_server.events.rollup import forget, roll_up
from push_server.sites.retention import SETTING, Retention

log = logging.getLogger(__name__)

PLAN_EVERY: Final = 60.0
WORK_EVERY: Final = 2.0
"""Seconds between two ticks."""
BUDGET: Final = 1.0
"""Seconds that one tick works, and the batch that it has begun; one batch is always done, so that it gets on."""
BATCH: Final = 2_000
"""Events a transaction: it holds the lock for which a merge of customers waits, some 50 ms."""
NOTICE: Final = timedelta(minutes=15)
STEP: Final = timedelta(days=1)
"""A horizon moves by no less: each batch writes the sums of its customers anew."""


class Horizon(NamedTuple):
    """How far the deletion of a kind of events may go, and how far it has come (None: it has not begun)."""

    site_id: int
    kind_id: int
    name: str
    before: datetime
    through: datetime | None
    setting: dict[str, Any]

    @property
    def is_wanted(self) -> bool:
        """Whether the site still wants all of that deleted: what it set may have been a mistake."""
        kept = Retention(**self.setting).of(self.name)
        return kept is not None and self.before <= clock.now() - kept


def plan(database: Database) -> None:
    """Move the horizons of all sites to where their retention wants them; drop years that have become empty."""
    with database.connect(autocommit=True) as connection:
        for site_id, setting, ticked_at in connection.execute(_SITES, [SETTING, SETTING]).fetchall():
            now = clock.now() if ticked_at is None else min(clock.now(), ticked_at)
            _move(connection, site_id, Retention(**setting), now - LAG)
        unwanted = [each.kind_id for each in _all(connection) if each.through is None and not each.is_wanted]
        connection.execute(_TAKE_BACK, [unwanted])
        drop_empty(connection)


def work(database: Database) -> int:
    """Delete what lies beyond the horizons, for a second or so; returns how many events that were."""
    began, gone = time.monotonic(), 0
    with database.connect(autocommit=True) as connection:
        given = {"setting": SETTING, "announced": clock.now() - NOTICE}
        for horizon in [Horizon(*row) for row in connection.execute(_WAITING, given).fetchall()]:
            many = 0
            for done in _batches(connection, horizon):
                many += done
                if done and time.monotonic() - began > BUDGET:
                    break
            if many:
                log.info("%d %r events of site %d are rolled up", many, horizon.name, horizon.site_id)
            gone += many
            if many and time.monotonic() - began > BUDGET:
                break
    return gone


def _move(connection: Connection, site_id: int, retention: Retention, now: datetime) -> None:
    kinds = connection.execute("select id, text from term where site_id = %s and what = 'event'", [site_id])
    goals = [(id, now - kept) for id, name in kinds if (kept := retention.of(name)) is not None]
    if goals:
        moved = connection.execute(
            _MOVE,
            {
                "site": site_id,
                "kinds": [id for id, _goal in goals],
                "goals": [goal for _id, goal in goals],
                "now": clock.now(),
                "step": STEP,
            },
        )
        if moved.rowcount:
            log.info("%d kinds of events of site %d are to be rolled up further", moved.rowcount, site_id)


def _all(connection: Connection) -> list[Horizon]:
    return [Horizon(*row) for row in connection.execute(_HORIZONS, {"setting": SETTING}).fetchall()]


def _batches(connection: Connection, horizon: Horizon) -> Iterator[int]:
    """How many events each batch took. First those that came too late, and when there are no more, all is done."""
    if horizon.through is not None:
        for part in parts_before(connection, horizon.through):
            yield from _repeated(connection, horizon, partial(_forget, connection, part, horizon, horizon.through))
    if horizon.is_wanted and horizon.before != horizon.through:
        for part in parts_before(connection, horizon.before):
            yield from _repeated(connection, horizon, partial(_roll_up, connection, part, horizon))
        connection.execute("update event_horizon set through = before where kind_id = %s", [horizon.kind_id])


def _repeated(connection: Connection, horizon: Horizon, batch: Callable[[], int]) -> Iterator[int]:
    done = BATCH
    while done == BATCH:
        with connection.transaction():
            lock_site(connection, horizon.site_id)  # no merge moves events of his meanwhile
            done = batch()
        yield done


def _roll_up(connection: Connection, part: str, horizon: Horizon) -> int:
    return roll_up(connection, part, horizon.site_id, horizon.kind_id, horizon.before, BATCH)


def _forget(connection: Connection, part: str, horizon: Horizon, through: datetime) -> int:
    customers = forget(connection, part, horizon.kind_id, through, BATCH)
    note(connection, horizon.site_id, [(customer, horizon.kind_id) for customer in customers])
    return len(customers)


_SITES: Final = """
    select s.id, s.settings -> %s, r.ticked_at from site s left join site_refresh r on r.site_id = s.id
    where s.settings ? %s
"""
_MOVE: Final = """
    insert into event_horizon as h (kind_id, site_id, before, announced_at)
    select k.id, %(site)s, k.goal, %(now)s from unnest(%(kinds)s::int[], %(goals)s::timestamptz[]) as k (id, goal)
    where exists (select 1 from event e where e.kind_id = k.id and e.ts < k.goal)
    on conflict (kind_id) do update set before = excluded.before where excluded.before >= h.before + %(step)s
"""
# Where a statement does not know of the horizon yet, nothing is deleted yet.
_TAKE_BACK: Final = """
    delete from event_horizon h where kind_id = any(%s) and through = '-infinity'
    and not exists (select 1 from event_rollup r where r.kind_id = h.kind_id)
"""
_HORIZONS: Final = """
    select h.site_id, h.kind_id, t.text, h.before, nullif(h.through, '-infinity'),
           coalesce(s.settings -> %(setting)s, '{}')
    from event_horizon h join term t on t.id = h.kind_id join site s on s.id = h.site_id
"""
_WAITING: Final = f"""
    {_HORIZONS} where h.announced_at <= %(announced)s and (
        h.through < h.before
        or exists (select 1 from event e where e.kind_id = h.kind_id and e.ts < h.through)
    )
    order by h.site_id, h.kind_id
"""  # noqa: S608 - no text from outside
