"""What the segments are worth: members against a full evaluation, counts, entries and exits, and no fact lost."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from hashlib import blake2b
from uuid import UUID

import psycopg

from push_server import clock
from push_server.audiences import refresh
from push_server.db import Database
from push_server.scheduler import LOCK
from tests.integration.test_refresh_agrees import check

CATCH_UP = 60.0
"""Seconds after which whatever was killed must have caught up by itself."""


def caught_up(db: Database, site_id: int) -> float:
    """How long it takes, with nobody killed any more, until all is sent and nothing waits; TimeoutError if too long."""
    began = time.monotonic()
    quiet = clock.now()
    while waits := _waits(db, site_id, quiet):
        if time.monotonic() - began > CATCH_UP:
            raise TimeoutError(f"after {CATCH_UP:.0f} s without a kill: {waits}")
        time.sleep(0.2)
    return time.monotonic() - began


def _waits(db: Database, site_id: int, quiet: datetime) -> str:
    """What waits still; nothing if all is done."""
    try:
        with db.connect() as conn:
            found = conn.execute(_WAITING, {"site": site_id, "quiet": quiet}).fetchall()[0]
    except psycopg.OperationalError as error:  # killed last, and not up again
        return str(error)
    names = ("notes", "behind", "segments not found yet", "dispatches open")
    return ", ".join(f"{name} {many}" for name, many in zip(names, found, strict=True)) if any(found) else ""


@contextmanager
def alone(db: Database) -> Iterator[None]:
    """As the leader, so that no scheduler does anything meanwhile. The one that leads is to be killed for it."""
    with db.connect(autocommit=True) as conn:
        conn.execute("select pg_advisory_lock(%s)", [LOCK])
        yield


def judge(db: Database, site_id: int, stored: list[str]) -> dict[str, int]:
    """AssertionError where something is not as all customers' facts give it; else what there is, counted."""
    now = clock.now() + timedelta(milliseconds=1)
    clock.set_source(lambda: now)
    try:
        refresh.tick(db)
        check(db, site_id, now)
    finally:
        clock.set_source(None)
    with db.connect() as conn:
        twice = conn.execute(_TWICE).fetchall()
        assert not twice, f"entered or left twice in a row (segment, customer): {twice[:5]}"
        since = conn.execute(_SINCE).fetchall()
        assert not since, f"members since another instant than they entered: {since[:5]}"
        orphans = conn.execute(_ORPHANS).fetchall()
        assert not orphans, f"members who are not there: {orphans[:5]}"
        keys = [_key(site_id, id) for id in stored]
        rows = conn.execute("select message_key from event_body where message_key = any(%s)", [keys])
        lost = set(keys) - {key for (key,) in rows}
        assert not lost, f"{len(lost)} acknowledged messages are lost"
        return {name: conn.execute(query).fetchall()[0][0] for name, query in _COUNTED.items()}


def _key(site_id: int, message_id: str) -> UUID:
    """By which a message is known, even when its customer is erased."""
    return UUID(bytes=blake2b(site_id.to_bytes(8, "big") + message_id.encode(), digest_size=16).digest())


_WAITING = """
select (select count(*) from change_note where site_id = %(site)s),
       (select count(*) from site_refresh where site_id = %(site)s and (ticked_at < %(quiet)s or fresh_at < %(quiet)s)),
       (select count(*) from segment where site_id = %(site)s and state <> 'ready'),
       (select count(*) from dispatch where site_id = %(site)s and state <> 'done')
"""
# Of a customer who took another one over the changes are both's.
_TWICE = """
select segment_id, customer_id from (
    select *, lag(entered) over (partition by segment_id, customer_id order by at, id) as before
    from membership_change where customer_id in (select id from customer where anonymous_id is null)
) as changes where entered = coalesce(before, false)
"""
_SINCE = """
select m.segment_id, m.customer_id from segment_member m
join lateral (select at from membership_change c where c.segment_id = m.segment_id and c.customer_id = m.customer_id
              and entered order by at desc, id desc limit 1) as latest on true
where m.since <> latest.at and m.customer_id in (select id from customer where anonymous_id is null)
"""
_ORPHANS = "select segment_id, customer_id from segment_member where customer_id not in (select id from customer)"
_COUNTED = {
    "customers": "select count(*) from customer",
    "events": "select count(*) from event",
    "orders": "select count(*) from orders",
    "segments": "select count(*) from segment",
    "memberships": "select count(*) from segment_member",
    "entries and exits": "select count(*) from membership_change",
    "messages accepted": "select count(*) from delivery where state = 'accepted'",
    "receipts": "select count(*) from receipt",
}
