"""Conditions over a whole history, for many customers; `memory_history` says them of one."""

from collections.abc import Hashable
from datetime import timedelta

import numpy as np

from segments.batch_columns import Numbers, Truths
from segments.batch_compare import passing, passing_each, sums
from segments.batch_view import View
from segments.core import Op, OrderGap, Replenish, Rfm, Score, Sequence, Source, Stream, Test
from segments.history import ALWAYS, NEVER, micros
from segments.values import key

_DAY = micros(timedelta(days=1))
_LONGEST = 10**7  # days: ends after any instant that there is, and fits 64 bits in microseconds


def order_gap(leaf: OrderGap, view: View) -> Truths | None:
    """Compared by multiplying: since × gaps against ratio × (last - first)."""
    groups = view.groups(Source(Stream.ORDERS))
    ts = view.table(Source(Stream.ORDERS)).ts
    first, last, gaps = ts[groups.first], ts[groups.last], groups.counts - 1
    if len(gaps) and (int(view.at) - int(last.min())) * int(gaps.max()) >= NEVER:
        return None
    found = passing_each(leaf.ratio, (view.at - last) * gaps, last - first)
    if found is None:
        return None
    return view.spread(groups.owners, found & (groups.counts >= leaf.min_orders) & (last > first))


def rfm(leaf: Rfm, view: View) -> Truths | None:
    """A score is one more than the borders reached, of those that the scores 2 to 5 begin at."""
    source = Source(Stream.ORDERS)
    groups, orders = view.groups(source), view.table(source)
    found = np.ones(len(groups.owners), np.bool_)
    for (score, test), borders in zip(leaf.scores, view.world.thresholds[leaf], strict=True):
        measure: Numbers | None = groups.counts
        if score is Score.RECENCY:
            measure = orders.ts[groups.last]
        elif score is Score.MONETARY:
            assert orders.value is not None
            measure = sums(orders.value[groups.rows], groups.starts, groups.counts)
        if measure is None:
            return None
        reached = np.ones(len(measure), np.int64)
        for border in borders:
            if border is not None:
                reached += passing(Test(Op.GTE, border), measure)
        found &= passing(test, reached)
    return view.spread(groups.owners, found)


def replenish(leaf: Replenish, view: View) -> Truths:
    """The last purchase of each product by each customer decides."""
    source = Source(Stream.LINES)
    groups, lines, products = view.groups(source), view.table(source), view.column(source, "product_id")
    days = np.array([-1 if text is None else view.world.lifespans.get(text, -1) for text in products.values], np.int64)
    lasting = days[products.codes[groups.rows]]
    rows = groups.rows[lasting >= 0]
    bought = lines.owner[rows] * len(days) + products.codes[rows]
    last = len(rows) - 1 - np.unique(bought[::-1], return_index=True)[1]
    ends = lines.ts[rows[last]] + np.minimum(lasting[lasting >= 0][last], _LONGEST) * _DAY
    near = (ends > view.at) & (ends <= view.at + micros(leaf.within))
    return view.spread(lines.owner[rows[last[near]]], np.ones(int(near.sum()), np.bool_))


def sequence(leaf: Sequence, view: View) -> Truths:
    """For each customer, or for each customer and value of `same` in the first step."""
    steps = [_Step(source, leaf.same, view) for source in leaf.steps]
    absent = None if leaf.absent is None else _Step(leaf.absent, leaf.same, view)
    values = len(view.once("values of same", dict[Hashable, int]))
    threads = np.unique(steps[0].thread(values))
    many = len(threads)
    reached = np.full(many, ALWAYS)
    for step in steps:
        place, ts = step.among(threads, values)
        later = ts > reached[place]
        reached = np.full(many, NEVER)
        np.minimum.at(reached, place[later], ts[later])
    newest, came = (np.full(many, ALWAYS) for _ in range(2))
    place, ts = steps[-1].among(threads, values)
    np.maximum.at(newest, place, ts)
    if absent is not None:
        place, ts = absent.among(threads, values)
        np.maximum.at(came, place, ts)
    gap = 0 if leaf.gap is None else micros(leaf.gap)
    found = (reached < NEVER) & (came <= newest) & (newest <= view.at - gap)
    return view.spread(threads[found] // (values + 1), np.ones(int(found.sum()), np.bool_))


class _Step:
    """Happenings of a step in threads: a customer, and a value of `same` by its number; those without have none."""

    def __init__(self, source: Source, same: str | None, view: View) -> None:
        rows = view.groups(source).rows
        self.value = np.zeros(len(rows), np.int64)
        if same is not None:
            numbers: dict[Hashable, int] = view.once("values of same", dict)
            column = view.column(source, same)
            codes = [0 if each is None else numbers.setdefault(key(each), len(numbers) + 1) for each in column.values]
            self.value = np.array(codes, np.int64)[column.codes[rows]]
            rows, self.value = rows[self.value > 0], self.value[self.value > 0]
        self.owner, self.ts = view.table(source).owner[rows], view.table(source).ts[rows]

    def thread(self, values: int) -> Numbers:
        """A number for each customer and value, of which there are so many."""
        return self.owner * (values + 1) + self.value

    def among(self, threads: Numbers, values: int) -> tuple[Numbers, Numbers]:
        """Of the happenings in these threads, which thread by its place, and when."""
        mine = self.thread(values)
        place = np.minimum(np.searchsorted(threads, mine), max(len(threads) - 1, 0))
        inside = threads[place] == mine if len(threads) else np.zeros(len(mine), np.bool_)
        return place[inside], self.ts[inside]
