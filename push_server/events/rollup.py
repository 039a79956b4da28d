"""Adding events up as they are deleted, a batch of one kind at a time."""

from datetime import datetime
from typing import Final

from push_server.customers.identity import Connection
from segments.rollups import NUMBERS


def roll_up(conn: Connection, part: str, site_id: int, kind_id: int, before: datetime, most: int) -> int:
    """Delete up to `most` events of a kind from before an instant out of one part of `event`, and add them up.

    Their bodies go with them, and so does the message id by which one that is sent again would be known. Returns how
    many they were. To be called in a transaction that holds the site's lock.
    """
    _look_up_one_by_one(conn)
    statement = _ROLL_UP.format(part=part)
    given = {"site": site_id, "kind": kind_id, "before": before, "most": most, "numbers": list(NUMBERS)}
    return int(conn.execute(statement, given).fetchall()[0][0])


def forget(conn: Connection, part: str, kind_id: int, before: datetime, most: int) -> list[int]:
    """Delete them as `roll_up` does, but count them nowhere; returns whose each of them was."""
    _look_up_one_by_one(conn)
    given = {"kind": kind_id, "before": before, "most": most}
    return [customer for (customer,) in conn.execute(_FORGET.format(part=part), given)]


def _look_up_one_by_one(conn: Connection) -> None:
    """A batch is small, whatever the planner guesses: it must never read all bodies to find those of a few events."""
    conn.execute("set local enable_hashjoin = off; set local enable_mergejoin = off")


# By place, which is the only way to delete a limited number; nothing moves them while the site's lock is held, but for
# the making of a year's table, which leaves them to the next batch.
_GONE: Final = """
    gone as (
        delete from {part} where ctid = any(array(
            select ctid from {part} where kind_id = %(kind)s and ts < %(before)s order by ts limit %(most)s
        )) returning customer_id, category_id, ts, seq
    )
"""
# What was added up before of the same customers is added to, so that rows stay few.
_ROLL_UP: Final = f"""
    with {_GONE},
    bodies as (
        delete from event_body b using gone g where b.seq = g.seq
        returning g.customer_id, g.category_id, g.ts, b.properties
    ),
    known as (
        delete from event_rollup r where r.kind_id = %(kind)s and r.customer_id in (select customer_id from gone)
        returning customer_id, category_id, property, many, first_at, last_at, total, least, greatest
    ),
    numbers as materialized (
        select b.customer_id, b.category_id, n.name as property, b.ts, (b.properties ->> n.name)::numeric as number
        from bodies b cross join unnest(%(numbers)s::text[]) as n (name)
        where jsonb_typeof(b.properties -> n.name) = 'number'
    ),
    every as (
        select customer_id, category_id, '' as property, 1::bigint as many, ts as first_at, ts as last_at,
               null::numeric as total, null::numeric as least, null::numeric as greatest
        from gone
        union all
        select customer_id, category_id, property, 1, ts, ts, number, number, number from numbers
        union all
        select * from known
    ),
    made as (
        insert into event_rollup
            (site_id, kind_id, customer_id, category_id, property, many, first_at, last_at, total, least, greatest)
        select %(site)s, %(kind)s, customer_id, category_id, property, sum(many), min(first_at), max(last_at),
               sum(total), min(least), max(greatest)
        from every group by customer_id, category_id, property
    )
    select count(*) from gone
"""  # noqa: S608 - no text from outside
_FORGET: Final = f"""
    with {_GONE}, bodies as (delete from event_body b using gone g where b.seq = g.seq)
    select customer_id from gone
"""  # noqa: S608
