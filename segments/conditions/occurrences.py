"""What `event` and `bought` share: a window, and one number made of what happened in it."""

from decimal import Decimal
from typing import ClassVar

from segments import core
from segments.conditions.base import Condition
from segments.conditions.window import Happenings, Windowed, tests_of
from segments.language import Language, Message, Plural
from segments.operators import NOT_GIVEN, Age, Comparison, PropertyComparison, PropertyTest
from segments.phrases import AGO, WITHIN_THE_LAST, length

_OF_PROPERTY = ("sum", "avg", "min", "max", "distinct")
_AGGREGATES = {
    "sum": Message("whose {property} over {events} adds up to {compared}"),
    "avg": Message("whose average {property} over {events} is {compared}"),
    "min": Message("whose lowest {property} over {events} is {compared}"),
    "max": Message("whose highest {property} over {events} is {compared}"),
}
_DISTINCT = Plural(
    "with {compared} different value of {property} over {events}",
    "with {compared} different values of {property} over {events}",
)
_EDGES = {
    "last": Message("whose last of the {events} was {when}"),
    "first": Message("whose first of the {events} was {when}"),
}
_SOME, _NONE, _COUNTED = Message("with some {events}"), Message("with no {events}"), Message("with {compared} {events}")
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

    def told(self, language: Language, what: Happenings, named: dict[str, str], where: dict[str, PropertyTest]) -> str:
        """The clause; `named` fills the placeholders of what happened."""
        window = self.window_words(language)
        events = what.words(language, named, window, where)
        for edge, age in (("last", self.last), ("first", self.first)):
            if age:
                side, ago = age.given()
                when = length(language, AGO if side == "before" else WITHIN_THE_LAST, ago)
                return language.say(_EDGES[edge], events=events, when=when)
        if self.distinct:
            of, compared = self.distinct.of, self.distinct.words(language)
            return language.count(_DISTINCT, self.distinct.number(), property=of, events=events, compared=compared)
        for function, message in _AGGREGATES.items():
            asked: PropertyComparison | None = getattr(self, function)
            if asked:
                return language.say(message, property=asked.of, events=events, compared=asked.words(language))
        if not self.count:
            return language.say(_SOME, events=events)
        if self.count.given() == ("eq", 0):
            return language.say(_NONE, events=events)
        counted = what.words(language, named, window, where, self.count.number())
        return language.say(_COUNTED, compared=self.count.words(language), events=counted)
