"""When what was done in order, or left undone, can turn a leaf."""

from collections.abc import Callable, Hashable
from typing import Any

from segments.clock_spans import Alive, Clock, State, all_of, any_of, lifetimes, of_union, opposite
from segments.core import Sequence, Source
from segments.history import NEVER, History, World, micros
from segments.memory_rows import property_of
from segments.values import key

_ByValue = Callable[[History, World, int], dict[Hashable, list[Alive]]]


def sequence(leaf: Sequence) -> Clock:
    """Any value of `same` whose steps are complete, and undone what should be."""
    first, *rest = (_by_value(source, leaf.same) for source in leaf.steps)
    absent = None if leaf.absent is None else _by_value(leaf.absent, leaf.same)
    gap = micros(leaf.gap) if leaf.gap is not None else 0

    def state(history: History, world: World, at: int) -> State:
        found, others = first(history, world, at), [step(history, world, at) for step in rest]
        came = absent(history, world, at) if absent is not None else None
        states = []
        for value, begun in found.items():
            steps = [begun, *(step.get(value, []) for step in others)]
            complete = _complete(steps, at)
            if came is not None:
                complete = all_of((complete, _undone(steps[-1], came.get(value, []), gap, at)))
            states.append(complete)
        return any_of(states)

    return state


def _by_value(source: Source, same: str | None) -> _ByValue:
    """By the value of `same`; where nothing is to be the same, all under one key."""
    find = lifetimes(source)
    read: Any = property_of(source.stream, same) if same is not None else None

    def grouped(history: History, world: World, at: int) -> dict[Hashable, list[Alive]]:
        found: dict[Hashable, list[Alive]] = {}
        for each in find(history, world, at):
            value = True if read is None else read(each.happening, world)
            if value is not None:
                found.setdefault(key(value), []).append(each)
        return found

    return grouped


def _complete(steps: list[list[Alive]], at: int) -> State:
    """The latest happenings that complete the steps are the last to leave; without any, more must come."""
    until = reached = NEVER
    for step in reversed(steps):
        chosen = next((each for each in reversed(step) if each.start <= at and each.happening.ts < reached), None)
        if chosen is None:
            return State(False, min((each.start for step in steps for each in step if each.start > at), default=NEVER))
        until, reached = min(until, chosen.end), chosen.happening.ts
    return State(True, until)


def _undone(last: list[Alive], absent: list[Alive], gap: int, at: int) -> State:
    """Nothing has come since the newest last step, which is old enough; that is, until another one is the newest."""
    newest = max((each.happening.ts for each in last if each.start <= at), default=None)
    if newest is None:
        return State(False, min((each.start for each in last), default=NEVER))
    later = of_union(((start, end) for start, end, happening in absent if happening.ts > newest), at)
    undone = all_of((opposite(later), of_union(((newest + gap, NEVER),), at)))
    ends = [each.end for each in last if each.start <= at and each.happening.ts == newest]
    starts = [each.start for each in last if each.start > at and each.happening.ts > newest]
    return State(undone.truth, min(undone.until, *ends, *starts))
