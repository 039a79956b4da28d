"""The hundred segments brought up to date for 1, 100 and 10,000 customers who did something, beside one statement a
segment over those same customers.

Homing's time is that of a whole step: taking the notes, loading histories, judging, comparing with the stored members
and writing the difference. The others' is that of finding the members alone: by each segment's own statement, asked for
those customers; and by that statement narrowed to them by hand. What happened is committed beforehand by the product's
own committer. All must find the same members.
"""

import statistics
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from bench.segments_data import NOW
from bench.segments_each import OneByOne, thresholds
from bench.segments_events import Intake, Message, drawn
from bench.segments_home import Kept
from bench.segments_stored import clock_at, is_by_border, nodes_of
from push_server.audiences.step import step
from push_server.customers.changes import Kind, note
from segments.needs import everything

SIZES = (1, 100, 10_000)
LEAST_TIMES = 15
"""For 10,000 changed customers, against one statement a segment."""
MOST_GROWTH = 1.3
"""For ten times as many customers, of whom as many changed; of one alone it is mostly noise."""
_TICK = timedelta(milliseconds=200)
_NAMED = (
    "select x.customer, c.id from unnest(%s::text[]) x (customer) join customer c on c.site_id = %s"
    " and c.external_id = x.customer"
)


@dataclass(slots=True)
class _Size:
    """What was measured for so many customers, in milliseconds."""

    customers: int
    ours: list[float] = field(default_factory=list)
    each: list[float] = field(default_factory=list)
    narrowed: list[float] = field(default_factory=list)
    differing: int = 0
    moved: list[int] = field(default_factory=list)

    def row(self) -> dict[str, Any]:
        ours, each, narrowed = (statistics.median(times) for times in (self.ours, self.each, self.narrowed))
        return {
            "customers": self.customers,
            "homing_ms": round(ours, 1),
            "one_sql_per_segment_ms": round(each, 1),
            "times": round(each / ours, 1),
            "one_narrowed_sql_per_segment_ms": round(narrowed, 1),
            "times_narrowed": round(narrowed / ours, 1),
            "memberships_changed": round(statistics.median(self.moved)),
            "differing": self.differing,
        }


def measure(kept: Kept, smaller: Kept | None, rounds: int) -> dict[str, Any]:
    """So many turns of each size, in the smaller shop as well when there is one. The segments are stored and fresh."""
    benches = [_Bench(shop, rounds) for shop in (kept, smaller) if shop is not None]
    try:
        for bench in benches:
            bench.warm_up()
        for turn in range(rounds):
            for size in range(len(SIZES)):
                for bench in benches:
                    bench.turn(bench.sizes[size], ours_first=turn % 2 == 0, is_last=turn == rounds - 1)
    finally:
        for bench in benches:
            bench.close()
    rows = [bench.rows() for bench in benches]
    result = {"rows": rows[0], "targets": _targets(rows[0][-1])}
    if smaller is not None:
        result |= {"smaller_shop": {"customers": smaller.customers, "rows": rows[1]}}
        result["targets"] |= _growth(kept, smaller, *rows)
    return result | {"sound": not any(row["differing"] for each in rows for row in each)}


def _targets(most: dict[str, Any]) -> dict[str, Any]:
    met = most["times"] >= LEAST_TIMES
    times = {"customers": most["customers"], "is": most["times"], "at_least": LEAST_TIMES, "met": met}
    return {"refresh_to_one_sql_per_segment": times}


def _growth(kept: Kept, smaller: Kept, large: list[dict[str, Any]], small: list[dict[str, Any]]) -> dict[str, Any]:
    """Of as many changed customers in both shops: how much longer it takes in the large one."""
    same = [(row, other) for row, other in zip(large, small, strict=True) if row["customers"] == other["customers"]]
    times = {row["customers"]: round(row["homing_ms"] / other["homing_ms"], 2) for row, other in same}
    grown = {"customers": [smaller.customers, kept.customers], "changed": list(times), "times": list(times.values())}
    worst = max(times[row["customers"]] for row, _other in same[1:])
    return {"refresh_by_customers": grown | {"is": worst, "at_most": MOST_GROWTH, "met": worst <= MOST_GROWTH}}


class _Bench:
    def __init__(self, kept: Kept, rounds: int) -> None:
        self.kept, self.at = kept, NOW + timedelta(hours=1)
        self.sizes = [_Size(min(size, kept.customers // 10)) for size in SIZES]
        self.messages = drawn(kept, 3 * (rounds + 1) * sum(size.customers for size in self.sizes))
        self.conn = kept.database.connect(autocommit=True)
        self.conn.execute("set jit = off")
        self.intake = Intake(kept, self.conn)
        with kept.database.session(site_id=kept.site_id) as session:
            self.nodes, self.segment = nodes_of(session)
            every = list(everything(self.nodes.values(), self.segment))
            self.thresholds = thresholds(session, every, self.at)
        self.ranked = {id for id, node in self.nodes.items() if is_by_border(node, self.segment)}

    def warm_up(self) -> None:
        """A turn of each size that does not count."""
        for size in self.sizes:
            self.turn(_Size(size.customers))

    def rows(self) -> list[dict[str, Any]]:
        """A row for each size."""
        return [size.row() for size in self.sizes]

    def turn(self, size: _Size, *, ours_first: bool = True, is_last: bool = False) -> None:
        """Something happens to so many customers; then each in turn finds who is in which segment.

        The segments' own statements take minutes for many customers, so they have a turn only in the last round.
        """
        self.at += _TICK
        with clock_at(self.at):
            customers = self._happen(size.customers)
            with self.kept.database.session(site_id=self.kept.site_id) as session:
                narrowed = OneByOne(session, self.nodes, self.thresholds, self.at)
                plain = OneByOne(session, self.nodes, self.thresholds, self.at, is_narrowed=False)
            if not ours_first:
                found = self._each(size.narrowed, narrowed, customers)
            before = self._moves()
            began = time.perf_counter()
            with self.kept.database.session(site_id=self.kept.site_id) as session:
                step(session)
            size.ours.append((time.perf_counter() - began) * 1000)
            if ours_first:
                found = self._each(size.narrowed, narrowed, customers)
            size.moved.append(self._moves() - before)
            size.differing += self._differing(found, customers)
            if is_last:
                size.differing += self._differing(self._each(size.each, plain, customers), customers)

    def _happen(self, many: int) -> list[int]:
        """An event each for so many customers, and a note that touches every rule; their ids."""
        chosen: dict[str, Message] = {}
        while len(chosen) < many:
            message = self.messages.pop()
            chosen.setdefault(message["userId"], message)
        self.intake.take(list(chosen.values()))
        ids = sorted(id for _customer, id in self.conn.execute(_NAMED, [list(chosen), self.kept.site_id]).fetchall())
        kinds = [Kind.ORDERS, Kind.ATTRIBUTES, Kind.LOYALTY, Kind.SUBSCRIPTION, Kind.MESSAGE]
        names = self.conn.execute("select id from term where what = 'event'").fetchall()
        note(self.conn, self.kept.site_id, [(ids[0], kind) for kind in [*kinds, *(id for (id,) in names)]])
        return ids

    def _each(self, times: list[float], others: OneByOne, customers: list[int]) -> dict[int, list[int]]:
        began = time.perf_counter()
        found = others.members(self.conn, customers)
        times.append((time.perf_counter() - began) * 1000)
        return found

    def _differing(self, found: dict[int, list[int]], customers: list[int]) -> int:
        """Memberships that both tell otherwise, but for rules by thresholds, of which each knows others."""
        stored = self.conn.execute(
            "select segment_id, customer_id from segment_member where customer_id = any(%s)", [customers]
        ).fetchall()
        ours, theirs = set(stored), {(id, customer) for id, members in found.items() for customer in members}
        return sum(id not in self.ranked for id, _customer in ours ^ theirs)

    def _moves(self) -> int:
        return int(self.conn.execute("select count(*) from membership_change where at > %s", [NOW]).fetchall()[0][0])

    def close(self) -> None:
        self.intake.close()
        self.conn.close()
