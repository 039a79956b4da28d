"""What `event` and `bought` share: a window, and one number made of what happened in it."""

from collections.abc import Iterator
from decimal import Decimal
from typing import ClassVar

from pydantic import Field

from segments import core
from segments.conditions.base import Condition
from segments.fields import Date, Problem, Span
from segments.operators import NOT_GIVEN, Age, Comparison, PropertyComparison, PropertyTest

_OF_PROPERTY = ("sum", "avg", "min", "max", "distinct")
_WORDS = {
    "sum": "whose {of} over {them} adds up to {compared}",
    "avg": "whose average {of} over {them} is {compared}",
    "min": "whose lowest {of} over {them} is {compared}",
    "max": "whose highest {of} over {them} is {compared}",
    "distinct": "with {compared} different values of {of} over {them}",
}
_ONCE = core.Test(core.Op.GTE, Decimal(1))


class Occurrences(Condition):
    """Happenings in a window: `within`, or `from` (inclusive) and `to` (exclusive), or all until now."""

    at_most_one: ClassVar[tuple[tuple[str, tuple[str, ...]], ...]] = (
        ("two_aggregates", ("count", *_OF_PROPERTY, "last", "first")),
        ("two_windows", ("within", "from")),
        ("two_windows", ("within", "to")),
    )

    count: Comparison = NOT_GIVEN
    sum: PropertyComparison = NOT_GIVEN
    avg: PropertyComparison = NOT_GIVEN
    min: PropertyComparison = NOT_GIVEN
    max: PropertyComparison = NOT_GIVEN
    distinct: PropertyComparison = NOT_GIVEN
    last: Age = NOT_GIVEN
    first: Age = NOT_GIVEN
    within: Span = NOT_GIVEN
    from_: Date = Field(default=NOT_GIVEN, alias="from")
    to: Date = NOT_GIVEN

    def contradictions(self) -> Iterator[Problem]:
        if self.from_ and self.to and self.from_.at >= self.to.at:
            yield Problem("empty_window", "must be later than from: nothing lies in between", ("to",))

    def fold(self, stream: core.Stream, name: str, where: dict[str, PropertyTest]) -> core.Node:
        """The core node over this stream of happenings."""
        tests = tuple((field, tested.test()) for field, tested in where.items())
        source = core.Source(stream, name, tests, self._window())
        for edge, age in (("last", self.last), ("first", self.first)):
            if age:
                side, length = age.given()
                return core.Edge(source, newest=edge == "last", older=side == "before", age=length.length)
        for function in _OF_PROPERTY:
            asked: PropertyComparison | None = getattr(self, function)
            if asked:
                return core.Fold(source, core.Function(function), asked.of, asked.test())
        return core.Fold(source, core.Function.COUNT, None, self.count.test() if self.count else _ONCE)

    def told(self, noun: str, where: dict[str, PropertyTest]) -> str:
        """The clause; `noun` is what happened, in the plural."""
        them = noun + self._window_words()
        if where:
            them += " whose " + " and ".join(f"{field} {tested.words()}" for field, tested in where.items())
        for edge, age in (("last", self.last), ("first", self.first)):
            if age:
                side, length = age.given()
                when = f"at least {length.words} ago" if side == "before" else f"within the last {length.words}"
                return f"whose {edge} of the {them} was {when}"
        for function in _OF_PROPERTY:
            asked: PropertyComparison | None = getattr(self, function)
            if asked:
                return _WORDS[function].format(of=asked.of, them=them, compared=asked.words())
        if not self.count:
            return f"with some {them}"
        operator, number = self.count.given()
        return f"with no {them}" if (operator, number) == ("eq", 0) else f"with {self.count.words()} {them}"

    def _window(self) -> core.Window:
        return core.Window(
            self.within.length if self.within else None,
            self.from_.at if self.from_ else None,
            self.to.at if self.to else None,
        )

    def _window_words(self) -> str:
        if self.within:
            return f" in the last {self.within.words}"
        start = f" from {self.from_.text}" if self.from_ else ""
        return start + (f" until {self.to.text}" if self.to else "")
