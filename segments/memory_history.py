"""Conditions over a whole history, in memory; `sql_gap`, `sql_rank`, `sql_replenish` and `sql_sequence` in SQL."""

from collections.abc import Callable, Hashable
from datetime import timedelta
from decimal import Decimal
from typing import Any

from segments.core import OrderGap, Replenish, Rfm, Score, Sequence, Source, Stream
from segments.history import Happening, History, World, instant, micros
from segments.memory_leaf import Measured, Threshold, asked
from segments.memory_rows import occurrences, property_of
from segments.values import compared, key

_DAY = micros(timedelta(days=1))


def order_gap(leaf: OrderGap) -> Measured:
    """(since × gaps, first to last), whose quotient is the ratio; None where there is none."""
    find, passes = occurrences(Source(Stream.ORDERS)), compared(leaf.ratio)

    def measure(history: History, world: World, at: int) -> tuple[int, int] | None:
        found = find(history, world, at)
        if len(found) < leaf.min_orders or not found or found[0].ts == found[-1].ts:
            return None
        return (at - found[-1].ts) * (len(found) - 1), found[-1].ts - found[0].ts

    return Measured(
        measure,
        lambda ratio, world, at: ratio is not None and passes(*ratio),
        lambda ratio, world: None if ratio is None else Decimal(ratio[0]) / ratio[1],
        asked(leaf.ratio),
    )


def rfm(leaf: Rfm) -> Measured:
    """The measures of the scores asked, in their order; None without an order."""
    find = occurrences(Source(Stream.ORDERS))
    measures = [_MEASURES[score] for score, _test in leaf.scores]
    tests = [compared(test) for _score, test in leaf.scores]

    def measure(history: History, world: World, at: int) -> list[int] | None:
        found = find(history, world, at)
        return [of(found) for of in measures] if found else None

    def scores(mine: list[int] | None, world: World) -> list[int]:
        """One more than the lowest measures of the scores 2 to 5 that are reached."""
        if mine is None:
            return []
        lowest = zip(mine, world.thresholds[leaf], strict=True)
        return [1 + sum(step is not None and own >= step for step in steps) for own, steps in lowest]

    return Measured(
        measure,
        lambda mine, world, at: (
            mine is not None and all(passes(score, 1) for passes, score in zip(tests, scores(mine, world), strict=True))
        ),
        lambda mine, world: (
            {str(score): own for (score, _), own in zip(leaf.scores, scores(mine, world), strict=False)} or None
        ),
        lambda world, at: {str(score): {str(test.op): test.operand} for score, test in leaf.scores},
    )


_MEASURES: dict[Score, Callable[[list[Happening]], int]] = {
    Score.RECENCY: lambda orders: orders[-1].ts,
    Score.FREQUENCY: len,
    Score.MONETARY: lambda orders: sum(order.value or 0 for order in orders),
}


def replenish(leaf: Replenish) -> Measured:
    """The earliest end of a lifespan that is still ahead."""
    find, ahead = occurrences(Source(Stream.LINES)), micros(leaf.within)

    def measure(history: History, world: World, at: int) -> int | None:
        ends: dict[str, int] = {}
        for line in find(history, world, at):  # in ascending order, so that the last purchase stays
            days = None if line.product is None else world.lifespans.get(line.product)
            if line.product is not None and days is not None:
                ends[line.product] = line.ts + days * _DAY
        return min((end for end in ends.values() if end > at), default=None)

    return Measured(
        measure,
        lambda end, world, at: end is not None and end <= at + ahead,
        lambda end, world: None if end is None else instant(end),
        lambda world, at: {"lte": instant(at + ahead)},
    )


def sequence(leaf: Sequence) -> Measured:
    """The newest instants that complete the steps, for each value of `same`, where no absent event came later."""
    steps = [_instants(source, leaf.same) for source in leaf.steps]
    absent = None if leaf.absent is None else _instants(leaf.absent, leaf.same)
    gap = micros(leaf.gap) if leaf.gap is not None else 0

    def measure(history: History, world: World, at: int) -> list[int]:
        first, *rest = (step(history, world, at) for step in steps)
        came = {} if absent is None else absent(history, world, at)
        found = []
        for value, instants in first.items():
            newest = _completed([instants, *(step.get(value, []) for step in rest)])
            if newest is not None and (value not in came or came[value][-1] <= newest):
                found.append(newest)
        return found

    def threshold(world: World, at: int) -> Threshold | None:
        return None if leaf.gap is None else {"lte": instant(at - gap)}

    return Measured(
        measure,
        lambda newest, world, at: any(ts <= at - gap for ts in newest),
        lambda newest, world: instant(min(newest)) if newest else None,
        threshold,
    )


def _instants(source: Source, same: str | None) -> Callable[[History, World, int], dict[Hashable, list[int]]]:
    """Instants in ascending order by the value of `same`; where nothing is to be the same, all under one key."""
    find = occurrences(source)
    read: Any = property_of(source.stream, same) if same is not None else None

    def instants(history: History, world: World, at: int) -> dict[Hashable, list[int]]:
        found: dict[Hashable, list[int]] = {}
        for each in find(history, world, at):
            value = True if read is None else read(each, world)
            if value is not None:
                found.setdefault(key(value), []).append(each.ts)
        return found

    return instants


def _completed(steps: list[list[int]]) -> int | None:
    """The newest instant of the last step, if each step can follow the earliest instant that those before it reach."""
    reached = steps[0][0]
    for step in steps[1:]:
        later = next((ts for ts in step if ts > reached), None)
        if later is None:
            return None
        reached = later
    return steps[-1][-1]
