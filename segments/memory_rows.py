"""The happenings that a leaf looks at, in memory; `sql_rows` says the same in SQL.

Happenings count from their instant on, while they stand, and in the window. Sources are compiled once: what comes out
is called for every customer.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from operator import attrgetter
from typing import Any

from segments.core import Source, Stream, Window
from segments.history import ALWAYS, NEVER, Happening, History, World, micros
from segments.names import ORDER_VALUE
from segments.values import Number, tested

MICROS = 1_000_000
Find = Callable[[History, World, int], list[Happening]]
Property = Callable[[Happening, World], Any]
_TS = attrgetter("ts")


def occurrences(source: Source) -> Find:
    """A function of (history, world, at): the happenings of the source that match, in ascending order."""
    stream, cut = stream_of(source), within(source.window)
    tests = [(property_of(source.stream, name), tested(test)) for name, test in source.where]

    def find(history: History, world: World, at: int) -> list[Happening]:
        found = [each for each in cut(stream(history), at) if each.since <= at < each.until]
        for read, passes in tests:
            found = [each for each in found if passes(read(each, world), at, world.zone)]
        return found

    return find


def within(window: Window) -> Callable[[Sequence[Any], int], Iterable[Any]]:
    """A function of (things in ascending order of `ts`, at): those in the window, none later than `at`."""
    length = None if window.within is None else micros(window.within)
    start = ALWAYS if window.start is None else micros(window.start)
    end = NEVER if window.end is None else micros(window.end)

    def cut(things: Sequence[Any], at: int) -> Iterable[Any]:
        if not things:
            return ()
        low = start if length is None else max(start, at - length + 1)
        last = bisect_left(things, min(end, at + 1), key=_TS)
        return things[bisect_left(things, low, 0, last, key=_TS) if low > things[0].ts else 0 : last]

    return cut


def property_of(stream: Stream, name: str) -> Property:
    """A function of (happening, world): the property as JSON; None where it is missing."""
    if stream is Stream.LINES and name in _OF_LINES:
        return _OF_LINES[name]
    if stream is Stream.EVENTS and name == "category":  # text stands beside the properties, which may not be loaded
        return lambda each, world: each.properties.get(name, each.category)
    return lambda each, world: each.properties.get(name)


def number_of(stream: Stream, name: str) -> tuple[Callable[[Happening, World], Number | None], int]:
    """The property as an exact number (None for anything else), and how many of its units make one."""
    if (stream is Stream.ORDERS and name in ORDER_VALUE) or (stream is Stream.LINES and name == "revenue"):
        return lambda each, world: each.value, MICROS
    read = property_of(stream, name)

    def number(each: Happening, world: World) -> Decimal | None:
        value = read(each, world)
        return value if isinstance(value, Decimal) else None

    return number, 1


def stream_of(source: Source) -> Callable[[History], Sequence[Happening]]:
    """A function of the history: the happenings that a source looks at, unfiltered."""
    if source.stream is Stream.EVENTS:
        name = source.name
        return lambda history: history.events.get(name, ())
    return attrgetter(source.stream)


def category_of_line(line: Happening, world: World) -> str | None:
    """Its own category, else the catalogue's of its product."""
    if line.category is not None or line.product is None:
        return line.category
    return world.categories.get(line.product)


def _revenue(line: Happening, _world: World) -> Decimal:
    return Decimal(line.value or 0).scaleb(-6)


_OF_LINES: dict[str, Property] = {
    "revenue": _revenue,
    "quantity": lambda line, world: line.quantity,
    "product_id": lambda line, world: line.product,
    "category": category_of_line,
}
