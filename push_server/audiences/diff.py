"""Writing what changed of memberships: in few statements, whatever the number of customers and segments.

Customers and segments go as arrays; pairs of them are compared as single numbers (place of the segment × 2^32 +
customer).
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg

Numbers = npt.NDArray[np.int64]
Conn = psycopg.Connection[Any]

_SHIFT = 32


class Diff:
    """The memberships of some customers in some segments, as stored, and what becomes of them."""

    def __init__(self, conn: Conn, site_id: int, customers: Numbers, segments: Collection[int]) -> None:
        """Read what is stored; `customers` ascending. The site's membership lock is held."""
        self._conn, self._site_id, self._customers = conn, site_id, customers
        self._segments = np.array(sorted(segments), np.int64)
        rows = conn.execute(
            "select segment_id, customer_id from segment_member where customer_id = any(%s) and segment_id = any(%s)",
            [customers.tolist(), self._segments.tolist()],
            binary=True,
        ).fetchall()
        self._stored = self._pairs(rows)

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
        self._apply(entered, left, since)

    def _apply(self, entered: Numbers, left: Numbers, since: list[datetime]) -> None:
        deltas: dict[int, list[int]] = {}
        if len(left):
            rows = self._conn.execute(
                "delete from segment_member m using unnest(%s::bigint[], %s::int[]) as u(segment_id, customer_id)"
                " where m.segment_id = u.segment_id and m.customer_id = u.customer_id"
                " returning m.segment_id, m.reachable",
                self._split(left),
            )
            _count(deltas, rows.fetchall(), -1)
        if len(entered):
            rows = self._conn.execute(
                "insert into segment_member (segment_id, customer_id, since, reachable)"
                " select segment_id, customer_id, since, exists (select 1 from subscription s"
                " where s.customer_id = u.customer_id and s.site_id = %s and s.state = 'active')"
                " from unnest(%s::bigint[], %s::int[], %s::timestamptz[]) as u(segment_id, customer_id, since)"
                " returning segment_id, reachable",
                [self._site_id, *self._split(entered), since],
            )
            _count(deltas, rows.fetchall(), 1)
        _add_counts(self._conn, self._site_id, deltas)

    def _tell(self, entered: Numbers, left: Numbers, now: Numbers, at: datetime, reborn: Numbers) -> list[datetime]:
        """Write the changes; returns since when those who entered are in.

        Of `reborn` customers it is the told changes that must end where the memberships do, since a merge hands the
        changes of the one who goes to the one who stays.
        """
        since = dict.fromkeys(entered.tolist(), at)
        come, gone = entered[~self._is_of(entered, reborn)], left[~self._is_of(left, reborn)]
        if len(reborn):
            told_in, told_since = self._told(reborn)
            since.update((pair, told_since[pair]) for pair in entered.tolist() if pair in told_since)
            mine = now[self._is_of(now, reborn)]
            come, gone = np.union1d(come, np.setdiff1d(mine, told_in)), np.union1d(gone, np.setdiff1d(told_in, mine))
        pairs = np.concatenate([gone, come])
        if len(pairs):
            self._conn.execute(
                "insert into membership_change (segment_id, customer_id, at, entered) select segment_id, customer_id,"
                " %s, entered from unnest(%s::bigint[], %s::int[], %s::bool[]) as u(segment_id, customer_id, entered)",
                [at, *self._split(pairs), [False] * len(gone) + [True] * len(come)],
            )
        return list(since.values())

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

    def _split(self, pairs: Numbers) -> list[list[int]]:
        return [self._segments[pairs >> _SHIFT].tolist(), (pairs & ((1 << _SHIFT) - 1)).tolist()]

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


def _count(deltas: dict[int, list[int]], rows: list[tuple[int, bool]], step: int) -> None:
    for segment_id, reachable in rows:
        delta = deltas.setdefault(segment_id, [0, 0])
        delta[0] += step
        delta[1] += step * reachable


def _add_counts(conn: Conn, site_id: int, deltas: dict[int, list[int]]) -> None:
    if deltas:
        conn.execute(
            "update segment s set size = s.size + u.size, reachable = s.reachable + u.reachable"
            " from unnest(%s::bigint[], %s::int[], %s::int[]) as u(id, size, reachable)"
            " where s.id = u.id and s.site_id = %s",
            [list(deltas), [each[0] for each in deltas.values()], [each[1] for each in deltas.values()], site_id],
        )
