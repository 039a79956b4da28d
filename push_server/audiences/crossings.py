"""Whom passing time concerns: customers with a fact that crosses an edge of a rule in a stretch of time.

The facts are found through the indexes by time, so that nobody needs a timer. Where more customers cross an edge at
once than are worth looking at one by one, the segments behind it are told of instead.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import psycopg

from segments.calendar import celebrating, zones
from segments.core import Stream
from segments.edges import AnniversaryEdge, DateEdge, ExpiryEdge, LifespanEdge, StreamEdge, TimeEdge

MOST: Final = 10_000
"""Customers who cross one edge in one stretch; for more of them their segments are evaluated whole."""
_QUARTER: Final = timedelta(minutes=15)

Conn = psycopg.Connection[Any]


@dataclass(slots=True)
class Crossings:
    """Customers who may have to change, with the segments behind their edges; and segments that are for everyone."""

    customers: dict[int, set[int]] = field(default_factory=dict)
    crowded: set[int] = field(default_factory=set)

    @property
    def segments(self) -> set[int]:
        """The segments of all customers."""
        return set().union(*self.customers.values())

    def add(self, customers: Iterable[int], segments: set[int]) -> None:
        """Customers who crossed an edge of these segments."""
        found = list(customers)
        if len(found) > MOST:
            self.crowded |= segments
        else:
            for customer in found:
                self.customers.setdefault(customer, set()).update(segments)


def crossings(
    conn: Conn, site_id: int, edges: Mapping[TimeEdge, set[int]], since: datetime, until: datetime, zone: str
) -> Crossings:
    """Who crosses an edge in (since, until]; `edges` with the segments behind each, `zone` the site's."""
    found = Crossings()
    if since >= until:
        return found
    streams: list[tuple[StreamEdge, set[int]]] = []
    for edge, segments in edges.items():
        if isinstance(edge, StreamEdge):
            streams.append((edge, segments))
        elif isinstance(edge, DateEdge):
            found.add(_dates(conn, site_id, edge, since, until), segments)
        elif isinstance(edge, LifespanEdge):
            _lifespans(conn, site_id, edge, since, until, segments, found)
        elif isinstance(edge, AnniversaryEdge):
            found.add(_anniversaries(conn, site_id, edge, since, until, zone), segments)
        else:
            found.add(_expiries(conn, site_id, edge, since, until), segments)
    if streams:
        _streams(conn, site_id, streams, since, until, found)
    return found


def _streams(
    conn: Conn,
    site_id: int,
    edges: list[tuple[StreamEdge, set[int]]],
    since: datetime,
    until: datetime,
    found: Crossings,
) -> None:
    """All of them in two statements; an order's lines are of the order's instant."""
    of_events = [pair for pair in edges if pair[0].stream is Stream.EVENTS]
    of_orders = [pair for pair in edges if pair[0].stream is not Stream.EVENTS]
    for statement, wanted in ((_EVENTS, of_events), (_ORDERS, of_orders)):
        if wanted:
            rows = conn.execute(
                statement,
                {
                    "site": site_id,
                    "names": [edge.name for edge, _segments in wanted],
                    "since": [since - edge.offset for edge, _segments in wanted],
                    "until": [until - edge.offset for edge, _segments in wanted],
                    "most": MOST + 1,
                },
            )
            for place, customers in rows:
                found.add(customers, wanted[place - 1][1])


# Lateral, so that each edge is one range of the index, whatever the planner thinks of the others.
_WANTED = (
    "unnest(%(names)s::text[], %(since)s::timestamptz[], %(until)s::timestamptz[])"
    " with ordinality as w(name, since, until, place)"
)
_EVENTS = f"""
    select w.place, array_agg(distinct e.customer_id) from {_WANTED}
    join term t on t.site_id = %(site)s and t.what = 'event' and t.text = w.name
    cross join lateral (select customer_id from event where kind_id = t.id and ts > w.since and ts <= w.until
                        limit %(most)s) e
    group by w.place
"""  # noqa: S608
_ORDERS = f"""
    select w.place, array_agg(distinct o.customer_id) from {_WANTED}
    cross join lateral (select customer_id from order_value where site_id = %(site)s and ts > w.since and ts <= w.until
                        limit %(most)s) o
    group by w.place
"""  # noqa: S608


def _lifespans(
    conn: Conn,
    site_id: int,
    edge: LifespanEdge,
    since: datetime,
    until: datetime,
    segments: set[int],
    found: Crossings,
) -> None:
    """Whoever bought something that lasts so long, so long ago. There are few different lifespans in a catalogue."""
    place = {"site": site_id, "since": since + edge.ahead, "until": until + edge.ahead, "most": MOST + 1}
    rows = conn.execute(_LIFESPANS, place).fetchall()
    if any(looked > MOST for looked, _customers in rows):
        found.crowded |= segments
    else:
        found.add({customer for _looked, customers in rows for customer in customers or ()}, segments)


# Each lifespan that there is (one after the other from the index), and the orders that are so old.
_LIFESPANS = """
    with recursive lifespan (days) as (
        select min(lifespan_days) from product where site_id = %(site)s and lifespan_days is not null
        union all
        select (select min(lifespan_days) from product where site_id = %(site)s and lifespan_days > l.days)
        from lifespan l where l.days is not null
    )
    select count(*), array_agg(distinct o.customer_id) filter (where exists (
        select 1 from order_line n join term t on t.id = n.product_id
        join product p on p.site_id = %(site)s and p.product_id = t.text
        where n.order_ref = o.order_ref and p.lifespan_days = l.days
    ))
    from (select days, make_interval(secs => days * 86400.0) as length from lifespan where days is not null) l
    cross join lateral (select customer_id, order_ref from order_value where site_id = %(site)s
                        and ts > %(since)s - l.length and ts <= %(until)s - l.length limit %(most)s) o
    group by l.days
"""


def _expiries(conn: Conn, site_id: int, edge: ExpiryEdge, since: datetime, until: datetime) -> list[int]:
    rows = conn.execute(
        "select customer_id from points_value where site_id = %s and expires_at > %s and expires_at <= %s limit %s",
        [site_id, since + edge.ahead, until + edge.ahead, MOST + 1],
    )
    return [customer for (customer,) in rows]


def _dates(conn: Conn, site_id: int, edge: DateEdge, since: datetime, until: datetime) -> list[int]:
    rows = conn.execute(
        "select customer_id from calendar where site_id = %s and attribute = %s and at > %s and at <= %s limit %s",
        [site_id, edge.attribute, since - edge.offset, until - edge.offset, MOST + 1],
    )
    return [customer for (customer,) in rows]


def _anniversaries(
    conn: Conn, site_id: int, edge: AnniversaryEdge, since: datetime, until: datetime, zone: str
) -> list[int]:
    """Where a local day begins, those whose days begin to be near or cease to be."""
    by_days: dict[frozenset[int], list[str]] = {}
    for name, days in _turning(edge.days, since, until).items():
        by_days.setdefault(days, []).append(name)
    found: list[int] = []
    for days, names in by_days.items():
        rows = conn.execute(
            "select d.customer_id from calendar d join customer c on c.id = d.customer_id"
            " where d.site_id = %s and d.attribute = %s and d.month_day = any(%s)"
            " and coalesce(c.time_zone, %s) = any(%s) limit %s",
            [site_id, edge.attribute, list(days), zone, names, MOST + 1],
        )
        found += [customer for (customer,) in rows]
    return found


def _turning(days: int, since: datetime, until: datetime) -> dict[str, frozenset[int]]:
    """For each zone where a day began in (since, until]: months and days (month * 100 + day) that turn with it."""
    if _quarter(since) == _quarter(until):  # days begin at quarters of hours
        return {}
    found = {}
    for name, zone in zones().items():
        before, after = since.astimezone(zone).date(), until.astimezone(zone).date()
        turned: frozenset[str] = frozenset()
        while before < after and len(turned) < 366:
            following = before + timedelta(days=1)
            turned |= celebrating(before, days) ^ celebrating(following, days)
            before = following
        if turned:
            found[name] = frozenset(int(day[:2]) * 100 + int(day[3:]) for day in turned)
    return found


def _quarter(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // _QUARTER
