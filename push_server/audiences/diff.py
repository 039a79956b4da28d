"""Writing what changed of memberships: in few statements, whatever the number of customers and segments.

Customers and segments go as arrays; pairs of them are compared as single numbers (place of the segment × 2^32 +
customer).
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import psycopg

from push_server.audiences.histories_rows import array_numbers, spelled
from push_server.audiences.histories_sql import Kind

Numbers = npt.NDArray[np.int64]
Conn = psycopg.Connection[Any]

_SHIFT = 32
_KINDS: Final[tuple[Kind, Kind]] = ("number", "id")

# Arrays go through subqueries and rows are looked up one by one, so that the planner always goes by the customers' and
# the members' indexes: it would weigh thousands of pairs against its statistics, and rather read everybody.
_STORED: Final = (
    "select array_agg(segment_id), array_agg(customer_id) from segment_member"
    " where customer_id = any((select %s::int[])::int[])"
)
_COUNTED: Final = "select segment_id, count(*), count(*) filter (where reachable) from changed group by segment_id"
_LEAVE: Final = f"""
    with changed as (
        delete from segment_member where ctid = any(array(
            select m.ctid from unnest(%s::bigint[], %s::int[]) as u (segment_id, customer_id) cross join lateral
            (select ctid from segment_member where segment_id = u.segment_id and customer_id = u.customer_id offset 0) m
        )) returning segment_id, reachable
    ) {_COUNTED}
"""  # noqa: S608
_ENTER: Final = f"""
    with reached as materialized (
        select customer_id from subscription where customer_id = any((select %s::int[])::int[]) and site_id = %s
        and state = 'active'
    ), changed as (
        insert into segment_member (segment_id, customer_id, since, reachable)
        select segment_id, customer_id, %s, customer_id in (select customer_id from reached)
        from unnest(%s::bigint[], %s::int[]) as u (segment_id, customer_id) returning segment_id, reachable
    ) {_COUNTED}
"""  # noqa: S608
_TELL: Final = (
    "insert into membership_change (segment_id, customer_id, at, entered) select segment_id, customer_id, %s, %s"
    " from unnest(%s::bigint[], %s::int[]) as u (segment_id, customer_id)"
)


class Diff:
    """The memberships of some customers in some segments, as stored, and what becomes of them."""

    def __init__(self, conn: Conn, site_id: int, customers: Numbers, segments: Collection[int]) -> None:
        """Read what is stored; `customers` ascending. The site's membership lock is held."""
        self._conn, self._site_id, self._customers = conn, site_id, customers
        self._segments = np.array(sorted(segments), np.int64)
        self._stored = self._read()

    def _read(self) -> Numbers:
        with self._conn.cursor(binary=True) as cursor:
            cursor.execute(_STORED, [spelled(self._customers)])
            result = cursor.pgresult
            assert result is not None
            raw = [result.get_value(0, place) for place in range(2)]
        segments, customers = (
            np.empty(0, np.int64) if each is None else array_numbers(each, kind)
            for each, kind in zip(raw, _KINDS, strict=True)
        )
        mine = np.isin(segments, self._segments)
        return np.sort((np.searchsorted(self._segments, segments[mine]) << _SHIFT) + customers[mine])

    def write(self, members: Mapping[int, npt.NDArray[np.bool_]], at: datetime, reborn: Collection[int]) -> None:
        """`members` tells for each of the segments which of the customers are in it at `at`; others stay as stored.

        `reborn` are customers who are new, merged or gone: their changes so far may be another's, too.
        """
        judged = np.array(sorted(members), np.int64)
        wanted = [self._customers[members[id]] + (self._place(id) << _SHIFT) for id in judged.tolist()]
        found = np.concatenate([*wanted, np.empty(0, np.int64)])
        stored = self._stored[np.isin(self._segments[self._stored >> _SHIFT], judged)]
        entered, left = np.setdiff1d(found, stored), np.setdiff1d(stored, found)
        now = np.union1d(np.setdiff1d(self._stored, left), entered)
        since = self._tell(entered, left, now, at, np.array(sorted(reborn), np.int64))
        self._apply(entered, left, at)
        if since:
            self._keep_since(since)

    def _apply(self, entered: Numbers, left: Numbers, at: datetime) -> None:
        deltas: dict[int, list[int]] = {}
        if len(left):
            rows = self._conn.execute(_LEAVE, self._split(left)).fetchall()
            deltas = {segment_id: [-many, -reachable] for segment_id, many, reachable in rows}
        if len(entered):
            customers = spelled(np.unique(entered & ((1 << _SHIFT) - 1)))
            rows = self._conn.execute(_ENTER, [customers, self._site_id, at, *self._split(entered)]).fetchall()
            for segment_id, many, reachable in rows:
                size, reach = deltas.get(segment_id, (0, 0))
                deltas[segment_id] = [size + many, reach + reachable]
        _add_counts(self._conn, self._site_id, deltas)

    def _keep_since(self, since: dict[int, datetime]) -> None:
        """Some who entered have been in for longer."""
        pairs = np.array(list(since), np.int64)
        self._conn.execute(
            "update segment_member m set since = u.since"
            " from unnest(%s::bigint[], %s::int[], %s::timestamptz[]) as u(segment_id, customer_id, since)"
            " where m.segment_id = u.segment_id and m.customer_id = u.customer_id",
            [*self._split(pairs), list(since.values())],
        )

    def _tell(
        self, entered: Numbers, left: Numbers, now: Numbers, at: datetime, reborn: Numbers
    ) -> dict[int, datetime]:
        """Write the changes; returns since when those are in who entered, if not since `at`.

        Of `reborn` customers it is the told changes that must end where the memberships do, since a merge hands the
        changes of the one who goes to the one who stays.
        """
        since = dict[int, datetime]()
        come, gone = entered[~self._is_of(entered, reborn)], left[~self._is_of(left, reborn)]
        if len(reborn):
            told_in, told_since = self._told(reborn)
            since.update((pair, told_since[pair]) for pair in entered.tolist() if pair in told_since)
            mine = now[self._is_of(now, reborn)]
            come, gone = np.union1d(come, np.setdiff1d(mine, told_in)), np.union1d(gone, np.setdiff1d(told_in, mine))
        for pairs, has_entered in ((gone, False), (come, True)):
            if len(pairs):
                self._conn.execute(_TELL, [at, has_entered, *self._split(pairs)])
        return since

    def _told(self, customers: Numbers) -> tuple[Numbers, dict[int, datetime]]:
        """The memberships of customers as their latest changes tell them, and since when."""
        rows = self._conn.execute(
            "select segment_id, customer_id, at from (select distinct on (customer_id, segment_id) *"
            " from membership_change where customer_id = any(%s) and segment_id = any(%s)"
            " order by customer_id, segment_id, at desc, id desc) as latest where entered",
            [customers.tolist(), self._segments.tolist()],
        ).fetchall()
        pairs = self._pairs([row[:2] for row in rows])
        return np.sort(pairs), dict(zip(pairs.tolist(), (row[2] for row in rows), strict=True))

    def _pairs(self, rows: list[tuple[int, int]]) -> Numbers:
        found = np.array(rows, np.int64).reshape(-1, 2)
        return (np.searchsorted(self._segments, found[:, 0]) << _SHIFT) + found[:, 1]

    def _split(self, pairs: Numbers) -> list[str]:
        return [spelled(self._segments[pairs >> _SHIFT]), spelled(pairs & ((1 << _SHIFT) - 1))]

    def _place(self, segment_id: int) -> int:
        return int(np.searchsorted(self._segments, segment_id))

    def _is_of(self, pairs: Numbers, customers: Numbers) -> npt.NDArray[np.bool_]:
        return np.isin(pairs & ((1 << _SHIFT) - 1), customers)


def mark_reachable(conn: Conn, site_id: int, customers: Collection[int]) -> None:
    """Which of these customers have an active subscription, wherever they are members."""
    rows = conn.execute(
        "update segment_member m set reachable = not reachable from (select u.id, exists (select 1 from subscription s"
        " where s.customer_id = u.id and s.site_id = %s and s.state = 'active') as now from unnest(%s::int[]) as u(id))"
        " as c where m.customer_id = c.id and m.reachable <> c.now returning m.segment_id, m.reachable",
        [site_id, list(customers)],
    )
    deltas: dict[int, list[int]] = {}
    for segment_id, reachable in rows.fetchall():
        deltas.setdefault(segment_id, [0, 0])[1] += 1 if reachable else -1
    _add_counts(conn, site_id, deltas)


def _add_counts(conn: Conn, site_id: int, deltas: dict[int, list[int]]) -> None:
    if deltas:
        conn.execute(
            "update segment s set size = s.size + u.size, reachable = s.reachable + u.reachable"
            " from unnest(%s::bigint[], %s::int[], %s::int[]) as u(id, size, reachable)"
            " where s.id = u.id and s.site_id = %s",
            [list(deltas), [each[0] for each in deltas.values()], [each[1] for each in deltas.values()], site_id],
        )
