"""What `event` and `bought` share: a window, and one number made of what happened in it."""

from decimal import Decimal
from typing import ClassVar

from segments import core
from segments.conditions.base import Condition
from segments.conditions.window import Windowed, tests_of, where_words
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


class Occurrences(Windowed, Condition):
    """Happenings in a window."""

    at_most_one: ClassVar[tuple[tuple[str, tuple[str, ...]], ...]] = (
        ("two_aggregates", ("count", *_OF_PROPERTY, "last", "first")),
        *Windowed.one_window,
    )

    count: Comparison = NOT_GIVEN
    sum: PropertyComparison = NOT_GIVEN
    avg: PropertyComparison = NOT_GIVEN
    min: PropertyComparison = NOT_GIVEN
    max: PropertyComparison = NOT_GIVEN
    distinct: PropertyComparison = NOT_GIVEN
    last: Age = NOT_GIVEN
    first: Age = NOT_GIVEN

    def fold(self, stream: core.Stream, name: str, where: dict[str, PropertyTest]) -> core.Node:
        """The core node over this stream of happenings."""
        source = core.Source(stream, name, tests_of(where), self.window())
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
        them = noun + self.window_words() + where_words(where)
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
