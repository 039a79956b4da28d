"""Truths that last: half-open spans of microseconds in which something holds, and what is made of them.

Whatever a leaf looks at counts in one span, `[start, end)`: an event from its instant until the window's edge has
passed it, an order's version while it stands, a date that must be near while it is. A leaf's truth at an instant
follows from the spans that contain it, so it can change only where one of them begins or ends.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from datetime import timedelta
from operator import attrgetter
from typing import Any, NamedTuple

from segments.core import Op, Source, Test
from segments.history import ALWAYS, NEVER, Happening, History, World, micros
from segments.memory import Truth
from segments.memory_rows import property_of, stream_of
from segments.values import as_instant, tested

Span = tuple[int, int]
_TS = attrgetter("ts")


class State(NamedTuple):
    """A truth at an instant, and when it can change at the earliest by time alone (NEVER: it cannot)."""

    truth: bool
    until: int


class Alive(NamedTuple):
    """A happening, and when it counts."""

    start: int
    end: int
    happening: Happening


Clock = Callable[[History, World, int], State]
Lifetimes = Callable[[History, World, int], list[Alive]]
Lasting = Callable[[Any, str], Span | None]


def of_union(spans: Iterable[Span], at: int) -> State:
    """Holds where any span does."""
    reached = at
    for start, end in sorted(span for span in spans if span[0] < span[1] and span[1] > at):
        if start > reached:
            return State(True, reached) if reached > at else State(False, start)
        reached = max(reached, end)
    return State(reached > at, reached if reached > at else NEVER)


def all_of(states: Iterable[State]) -> State:
    """While false it waits for the last of what is false; while true, for the first of all."""
    first, last = NEVER, ALWAYS
    for truth, until in states:
        if truth:
            first = min(first, until)
        elif until == NEVER:
            return State(False, NEVER)
        else:
            last = max(last, until)
    return State(True, first) if last == ALWAYS else State(False, last)


def any_of(states: Iterable[State]) -> State:
    """The dual of `all_of`."""
    return opposite(all_of(map(opposite, states)))


def opposite(state: State) -> State:
    """The complement changes when its child does."""
    return State(not state.truth, state.until)


def lasting(test: Test) -> Lasting:
    """A function of (value, zone): the span in which the value passes; None if it never does."""
    if not isinstance(test.operand, timedelta):
        passes = tested(test)
        return lambda value, zone: (ALWAYS, NEVER) if passes(value, 0, zone) else None
    length, past = micros(test.operand), test.op is Op.WITHIN_LAST

    def near(value: Any, zone: str) -> Span | None:
        at = as_instant(value, zone)
        if at is None:
            return None
        return (at, at + length) if past else (at - length, at)

    return near


def lifetimes(source: Source) -> Lifetimes:
    """A function of (history, world, at): what the source looks at, then or later, and when each of it counts."""
    stream, window = stream_of(source), source.window
    length = None if window.within is None else micros(window.within)
    first = ALWAYS if window.start is None else micros(window.start)
    last = NEVER if window.end is None else micros(window.end)
    tests = [(property_of(source.stream, name), lasting(test)) for name, test in source.where]

    def find(history: History, world: World, at: int) -> list[Alive]:
        happenings, found = stream(history), []
        if length is not None:
            happenings = happenings[bisect_right(happenings, at - length, key=_TS) :]
        for each in happenings:
            ts = each.ts
            start, end = max(ts, each.since), each.until if length is None else min(each.until, ts + length)
            for read, span_of in tests:
                span = span_of(read(each, world), world.zone)
                if span is None:
                    break
                start, end = max(start, span[0]), min(end, span[1])
            else:
                if end > at and end > start and first <= ts < last:
                    found.append(Alive(start, end, each))
        return found

    return find


def stepping(truth: Truth, borders: Iterable[int], history: History, world: World, at: int) -> State:
    """Evaluated at one border after the other, until the truth differs; in between it stays as it is."""
    now = truth(history, world, at)
    return State(now, next((each for each in borders if truth(history, world, each) != now), NEVER))


def borders(alive: Iterable[Alive], at: int) -> list[int]:
    """Where something begins or ends to count, later than `at`, in ascending order."""
    return sorted({each for start, end, _happening in alive for each in (start, end) if at < each < NEVER})
