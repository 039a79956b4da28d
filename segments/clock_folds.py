"""When a number made of happenings, or their newest or oldest, can turn a leaf.

The number is kept up to date while time passes from border to border, so that a walk over all of them costs about as
much as one evaluation. It ends at the first border where the truth differs.
"""

from abc import ABC, abstractmethod
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from operator import itemgetter
from typing import Any

from segments.clock_spans import Alive, Clock, State, all_of, borders, lifetimes, of_union, opposite, stepping
from segments.core import Edge, Fold, Function, Points, Rank
from segments.history import ALWAYS, NEVER, Happening, History, World, micros
from segments.memory import truth_of
from segments.memory_rollups import amount, rolled_up
from segments.memory_rows import number_of, property_of
from segments.values import EXACT, Number, compared, key

Passes = Callable[[Number, Number], bool]
Part = tuple[int, int, Any]  # start, end, and what counts from the one to the other
_INSTANT = itemgetter(0)


def fold(leaf: Fold) -> Clock:
    """A number made of what is in the window."""
    find, tally = lifetimes(leaf.source), _TALLIES[leaf.function]
    read, scale = _value(leaf)
    passes, gone = compared(leaf.compare, scale), rolled_up(leaf)

    def state(history: History, world: World, at: int) -> State:
        alive = find(history, world, at)
        values = ((start, end, read(happening, world)) for start, end, happening in alive)
        parts = [part for part in values if part[2] is not None]
        if gone is not None:
            add = amount(leaf.function)
            parts += [(ALWAYS, NEVER, add(row)) for row in gone(history, world, at)]
        return _walk(parts, tally(passes), at)

    return state


def edge(leaf: Edge) -> Clock:
    """The newest is young while any is; the oldest is old while any is; and the other way round while none is."""
    find, age, by_young = lifetimes(leaf.source), micros(leaf.age), leaf.newest
    gone = rolled_up(leaf)

    def state(history: History, world: World, at: int) -> State:
        found = find(history, world, at)
        if gone is not None:
            ends = [row.last if leaf.newest else row.first for row in gone(history, world, at)]
            found += [Alive(ts, NEVER, Happening(ts, {})) for ts in ends]
        if by_young:
            some = of_union([(start, min(end, each.ts + age)) for start, end, each in found], at)
        else:
            some = of_union([(max(start, each.ts + age), end) for start, end, each in found], at)
        if leaf.newest != leaf.older:
            return some
        return all_of((of_union([(start, end) for start, end, _each in found], at), opposite(some)))

    return state


def rank(leaf: Rank) -> Clock:
    """The customer's own worth against a threshold that stands still."""
    find, truth = lifetimes(leaf.source), truth_of(leaf)
    return lambda history, world, at: stepping(truth, borders(find(history, world, at), at), history, world, at)


def points(leaf: Points) -> Clock:
    """What is alive, or expires soon, from the lots and what was left of them at each time."""
    passes, ahead = compared(leaf.compare), None if leaf.within is None else micros(leaf.within)

    def state(history: History, world: World, at: int) -> State:
        spans: Iterable[Part] = ((lot.since, lot.until, lot.points) for lot in history.points)
        if ahead is not None:
            spans = (
                (max(lot.since, lot.expires_at - ahead), min(lot.until, lot.expires_at), lot.points)
                for lot in history.points
                if lot.expires_at < NEVER
            )
        return _walk([span for span in spans if at < span[1] > span[0]], _Total(passes), at)

    return state


class _Tally(ABC):
    """A number that is kept up to date."""

    def __init__(self, passes: Passes) -> None:
        self.passes = passes

    @abstractmethod
    def add(self, value: Any) -> None:
        """One more counts."""

    @abstractmethod
    def remove(self, value: Any) -> None:
        """One less counts."""

    @abstractmethod
    def truth(self) -> bool:
        """Whether the number passes."""


class _Total(_Tally):
    """Whole numbers or decimals, never both in one leaf."""

    number: Number = 0

    def add(self, value: Number) -> None:
        self.number = self.number + value if isinstance(value, int) else EXACT.add(self.number, value)

    def remove(self, value: Number) -> None:
        self.number = self.number - value if isinstance(value, int) else EXACT.subtract(self.number, value)

    def truth(self) -> bool:
        return self.passes(self.number, 1)


class _Mean(_Total):
    count = 0

    def add(self, value: Number) -> None:
        super().add(value)
        self.count += 1

    def remove(self, value: Number) -> None:
        super().remove(value)
        self.count -= 1

    def truth(self) -> bool:
        return self.count > 0 and self.passes(self.number, self.count)


class _Different(_Tally):
    def __init__(self, passes: Passes) -> None:
        super().__init__(passes)
        self.counts: Counter[Hashable] = Counter()

    def add(self, value: Hashable) -> None:
        self.counts[value] += 1

    def remove(self, value: Hashable) -> None:
        self.counts[value] -= 1
        if not self.counts[value]:
            del self.counts[value]

    def truth(self) -> bool:
        return self.passes(len(self.counts), 1)


class _Lowest(_Tally):
    place = 0

    def __init__(self, passes: Passes) -> None:
        super().__init__(passes)
        self.ordered: list[Number] = []

    def add(self, value: Number) -> None:
        insort(self.ordered, value)

    def remove(self, value: Number) -> None:
        del self.ordered[bisect_left(self.ordered, value)]

    def truth(self) -> bool:
        return bool(self.ordered) and self.passes(self.ordered[self.place], 1)


class _Highest(_Lowest):
    place = -1


_TALLIES: dict[Function, Callable[[Passes], _Tally]] = {
    Function.COUNT: _Total,
    Function.SUM: _Total,
    Function.AVG: _Mean,
    Function.DISTINCT: _Different,
    Function.MIN: _Lowest,
    Function.MAX: _Highest,
}


def _value(leaf: Fold) -> tuple[Callable[[Any, World], Any], int]:
    """What a happening adds (None: nothing), and how many of its units make one."""
    if leaf.of is None:
        return lambda each, world: 1, 1
    if leaf.function is not Function.DISTINCT:
        return number_of(leaf.source.stream, leaf.of)
    read = property_of(leaf.source.stream, leaf.of)

    def different(each: Any, world: World) -> Hashable:
        value = read(each, world)
        return None if value is None else key(value)

    return different, 1


def _walk(parts: list[Part], tally: _Tally, at: int) -> State:
    """From `at` to the first border where the truth differs; all parts end later than `at`."""
    changes: list[tuple[int, Callable[[Any], None], Any]] = []
    for start, end, value in parts:
        if start <= at:
            tally.add(value)
        else:
            changes.append((start, tally.add, value))
        if end < NEVER:
            changes.append((end, tally.remove, value))
    changes.sort(key=_INSTANT)
    now, last = tally.truth(), len(changes) - 1
    for place, (instant, change, value) in enumerate(changes):
        change(value)
        if (place == last or changes[place + 1][0] > instant) and tally.truth() != now:
            return State(now, instant)
    return State(now, NEVER)
