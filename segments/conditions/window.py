"""What conditions over happenings share: a window of time, and the source that an event's name means."""

from collections.abc import Iterator, Mapping
from typing import ClassVar

from pydantic import Field

from segments import core
from segments.fields import Date, Problem, Span, Strict
from segments.names import ORDER_COMPLETED, canonical
from segments.operators import NOT_GIVEN, PropertyTest


class Windowed(Strict):
    """`within`, or `from` (inclusive) and `to` (exclusive), or all until now."""

    one_window: ClassVar[tuple[tuple[str, tuple[str, ...]], ...]] = (
        ("two_windows", ("within", "from")),
        ("two_windows", ("within", "to")),
    )

    within: Span = NOT_GIVEN
    from_: Date = Field(default=NOT_GIVEN, alias="from")
    to: Date = NOT_GIVEN

    def contradictions(self) -> Iterator[Problem]:
        if self.from_ and self.to and self.from_.at >= self.to.at:
            yield Problem("empty_window", "must be later than from: nothing lies in between", ("to",))

    def window(self) -> core.Window:
        """The window as evaluators read it."""
        return core.Window(
            self.within.length if self.within else None,
            self.from_.at if self.from_ else None,
            self.to.at if self.to else None,
        )

    def window_words(self) -> str:
        """` in the last 14 days`, with the space before it; nothing for all time."""
        if self.within:
            return f" in the last {self.within.words}"
        start = f" from {self.from_.text}" if self.from_ else ""
        return start + (f" until {self.to.text}" if self.to else "")


def event_source(name: str, where: Mapping[str, PropertyTest], window: core.Window) -> core.Source:
    """The events of a name; those of `Order Completed` are orders as they stand."""
    name, tests = canonical(name), tests_of(where)
    if name == ORDER_COMPLETED:
        return core.Source(core.Stream.ORDERS, "", tests, window)
    return core.Source(core.Stream.EVENTS, name, tests, window)


def tests_of(where: Mapping[str, PropertyTest]) -> tuple[tuple[str, core.Test], ...]:
    """What `where` asks, as evaluators read it."""
    return tuple((field, tested.test()) for field, tested in where.items())


def where_words(where: Mapping[str, PropertyTest]) -> str:
    """` whose category is “dog”`, with the space before it; nothing where nothing is asked."""
    return " whose " + " and ".join(f"{field} {tested.words()}" for field, tested in where.items()) if where else ""
