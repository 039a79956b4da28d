"""Numbers made of happenings, and their newest and oldest, in memory; `sql_streams` and `sql_rank` say it in SQL."""

from collections.abc import Callable
from decimal import Decimal
from functools import reduce
from typing import Any

from segments.core import Edge, Fold, Function, Rank, Stream
from segments.history import Happening, History, RolledUp, World, instant, micros
from segments.memory_leaf import Measured, Threshold, asked, in_units
from segments.memory_rollups import amount, rolled_up
from segments.memory_rows import number_of, occurrences, property_of
from segments.values import EXACT, Number, compared, key

# Averages in ranks are whole numbers of this many decimals, as in SQL.
_DECIMALS = 40

_Make = Callable[[list[Happening], World], Any]


def fold(leaf: Fold) -> Measured:
    """An average is (sum, count), compared as sum against count × operand; a missing number is None."""
    find, (make, scale) = occurrences(leaf.source), _make(leaf)
    passes = compared(leaf.compare, scale)
    if (gone := rolled_up(leaf)) is not None:
        whole = _with_gone(leaf)
        return Measured(
            lambda history, world, at: whole(find(history, world, at), gone(history, world, at), world),
            lambda made, world, at: made is not None and passes(made, 1),
            lambda made, world: in_units(made, scale),
            asked(leaf.compare),
        )
    if leaf.function is Function.AVG:
        return Measured(
            lambda history, world, at: make(find(history, world, at), world),
            lambda made, world, at: made is not None and passes(*made),
            lambda made, world: None if made is None else in_units(made[0], made[1] * scale),
            asked(leaf.compare),
        )
    return Measured(
        lambda history, world, at: make(find(history, world, at), world),
        lambda made, world, at: made is not None and passes(made, 1),
        lambda made, world: in_units(made, scale),
        asked(leaf.compare),
    )


def edge(leaf: Edge) -> Measured:
    """The newest (or oldest) instant."""
    find, place, age = occurrences(leaf.source), -1 if leaf.newest else 0, micros(leaf.age)
    gone, choose = rolled_up(leaf), max if leaf.newest else min

    def measure(history: History, world: World, at: int) -> int | None:
        found = find(history, world, at)
        reached = [found[place].ts] if found else []
        if gone is not None:
            reached += [row.last if leaf.newest else row.first for row in gone(history, world, at)]
        return choose(reached, default=None)

    return Measured(
        measure,
        lambda ts, world, at: ts is not None and (ts <= at - age) == leaf.older,
        lambda ts, world: None if ts is None else instant(ts),
        lambda world, at: {"lte" if leaf.older else "gt": instant(at - age)},
    )


def rank(leaf: Rank) -> Measured:
    """The worth that `sql_rank` ranks by, against that of the last one still in; None who has none."""
    find, (make, scale) = occurrences(leaf.source), _make(leaf)
    average = leaf.function is Function.AVG
    scale *= 10**_DECIMALS if average else 1

    def worth(history: History, world: World, at: int) -> Number | None:
        found = find(history, world, at)
        made = make(found, world) if found else None
        return _quotient(*made) if average and made is not None else made

    def passes(mine: Number | None, world: World, at: int) -> bool:
        last = world.thresholds[leaf]
        return mine is not None and last is not None and mine >= last

    def threshold(world: World, at: int) -> Threshold | None:
        last = world.thresholds[leaf]
        return None if last is None else {"gte": in_units(last, scale)}

    return Measured(worth, passes, lambda mine, world: in_units(mine, scale), threshold)


def _make(leaf: Fold | Rank) -> tuple[_Make, int]:
    """A function of (happenings, world), and how many units of what it gives make one."""
    if leaf.of is None:
        return lambda found, world: len(found), 1
    if leaf.function is Function.DISTINCT:
        return _distinct(leaf.source.stream, leaf.of), 1
    (read, scale), make = number_of(leaf.source.stream, leaf.of), _MADE[leaf.function]

    def made(found: list[Happening], world: World) -> Any:
        return make([number for each in found if (number := read(each, world)) is not None])

    return made, scale


def _with_gone(leaf: Fold) -> Callable[[list[Happening], list[RolledUp], World], Any]:
    """`_make` of happenings and of what deleted ones were added up to."""
    add = amount(leaf.function)
    if leaf.of is None:
        return lambda found, gone, world: len(found) + sum(map(add, gone))
    (read, _scale), make = number_of(leaf.source.stream, leaf.of), _MADE[leaf.function]

    def made(found: list[Happening], gone: list[RolledUp], world: World) -> Any:
        there = [number for each in found if (number := read(each, world)) is not None]
        return make([*there, *map(add, gone)])

    return made


def _distinct(stream: Stream, of: str) -> _Make:
    read = property_of(stream, of)
    return lambda found, world: len({key(value) for each in found if (value := read(each, world)) is not None})


def total(numbers: list[Number]) -> Number:
    """The exact sum; 0 of none."""
    return reduce(EXACT.add, numbers) if numbers and isinstance(numbers[0], Decimal) else sum(numbers)


def _quotient(summed: Number, count: int) -> Decimal:
    return EXACT.divide_int(EXACT.scaleb(Decimal(summed), _DECIMALS), count)


_MADE: dict[Function, Callable[[list[Number]], Any]] = {
    Function.SUM: total,
    Function.AVG: lambda numbers: (total(numbers), len(numbers)) if numbers else None,
    Function.MIN: lambda numbers: min(numbers, default=None),
    Function.MAX: lambda numbers: max(numbers, default=None),
}
