"""`event` lies in one table a year, so that what is old costs the present nothing: docs/operations.md.

`event_older` takes whatever came before the first of these years, `event_default` what none of them covers, such as
events of a browser whose clock is years ahead. Nothing is ever wrong without this file: a year without a table of its
own lies in `event_default`, and is only slower to read.
"""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from push_server import clock
from push_server.db import Database

log = logging.getLogger(__name__)

EVERY = 60.0
"""Seconds between two ticks."""
_AHEAD = timedelta(days=90)
_MOST_MOVED = 100_000
"""Rows of a year found in `event_default` that are moved when it gets its own table; others wait for that long."""

Connection = psycopg.Connection[Any]


def tick(database: Database) -> None:
    """Make the coming year's table, and let the planner know how `event` as a whole has grown."""
    with database.connect(autocommit=True) as connection:
        connection.execute("set lock_timeout = '2s'")
        make_years(connection)
        analyse(connection)


def make_years(connection: Connection) -> list[int]:
    """Tables for this year and, 90 days ahead, for the next; returns those that were made.

    Others go on reading and writing `event`; only who needs `event_default` waits, for milliseconds.
    """
    have = years(connection)
    now = clock.now()
    wanted = {now.year, (now + _AHEAD).year} - set(have)
    made = [year for year in sorted(wanted) if year > min(have)]
    return [year for year in made if _make(connection, year)]


def years(connection: Connection) -> list[int]:
    """The years that have a table of their own, ascending."""
    named = connection.execute(
        "select substr(relid::regclass::text, 7)::int from pg_partition_tree('event')"
        " where relid::regclass::text ~ '^event_[0-9]{4}$' order by 1"
    )
    return [year for (year,) in named]


def parts_before(connection: Connection, before: datetime) -> list[str]:
    """The parts of `event` that can hold events from before an instant, by name."""
    passed = [year for year in years(connection) if datetime(year, 1, 1, tzinfo=UTC) < before]
    return ["event_older", *(f"event_{year}" for year in passed), "event_default"]


def drop_empty(connection: Connection) -> list[int]:
    """Drop the tables of years in which all events were deleted by age; returns the years.

    The present year's stays. Whatever comes of such a year afterwards lies in `event_default`.
    """
    furthest = connection.execute("select max(through) from event_horizon where through > '-infinity'").fetchall()
    through = furthest[0][0]
    return [year for year in years(connection) if through and year < through.year and _drop(connection, year)]


def _drop(connection: Connection, year: int) -> bool:
    """False when it is not empty, or when somebody reads events: others would wait behind us for as long as he does."""
    is_filled = f"select exists (select 1 from event_{year})"  # noqa: S608
    if connection.execute(is_filled).fetchall()[0][0]:
        return False
    try:
        with connection.transaction():
            connection.execute("set local lock_timeout = '100ms'")
            connection.execute(f"lock table event, event_{year} in access exclusive mode")
            if connection.execute(is_filled).fetchall()[0][0]:
                return False
            connection.execute(f"drop table event_{year}")
    except psycopg.errors.LockNotAvailable:
        return False
    log.info("%d has no events any more, so its table is dropped", year)
    return True


def _make(connection: Connection, year: int) -> bool:
    span = f"'{year}-01-01 00:00:00+00') to ('{year + 1}-01-01 00:00:00+00'"
    within = f"ts >= '{year}-01-01 00:00:00+00' and ts < '{year + 1}-01-01 00:00:00+00'"
    with connection.transaction():
        connection.execute("lock table event_default in access exclusive mode")
        many = connection.execute(
            f"select count(*) from (select 1 from event_default where {within} limit {_MOST_MOVED + 1}) as there"  # noqa: S608
        ).fetchall()[0][0]
        if many > _MOST_MOVED:
            log.warning("%d gets no table of its own: over %d of its events lie in event_default", year, _MOST_MOVED)
            return False
        connection.execute(f"create table event_{year} (like event including comments)")
        connection.execute(
            f"with late as (delete from event_default where {within} returning *)"  # noqa: S608
            f" insert into event_{year} select * from late"
        )
        connection.execute(f"alter table event attach partition event_{year} for values from ({span})")
    return True


def analyse(connection: Connection) -> bool:
    """Gather statistics over all years when `event` has grown by a tenth: autovacuum does so for each year only.

    Without them the planner guesses how many customers a rule groups. Returns whether it was due.
    """
    grown = connection.execute(
        "select coalesce(sum(reltuples) filter (where relkind = 'r'), 0) >"
        " 1.1 * coalesce(max(reltuples) filter (where relkind = 'p'), 0) + 1000"
        " from pg_partition_tree('event') join pg_class on pg_class.oid = relid and reltuples >= 0"
    ).fetchall()[0][0]
    if grown:
        connection.execute("analyze event")
    return bool(grown)
