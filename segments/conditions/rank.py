"""`{"rank": {"by": {"event": …, "sum": "revenue", "within": "365d"}, "top_percent": 20}}`: the best customers.

Only customers with at least one such event in the window are ranked. The last one still in stands at position
ceil(20% · n); whoever is worth the same is in, too.
"""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

from pydantic import Field, PlainValidator

from segments import core
from segments.conditions.base import Condition
from segments.conditions.window import EVENTS, Windowed, event_source
from segments.context import Context
from segments.fields import Name, Number, Problem, Strict, fault
from segments.language import Language, Message
from segments.names import canonical
from segments.operators import NOT_GIVEN, PropertyTests

_OF_PROPERTY = {
    "sum": Message("the sum of {property} over {events}"),
    "avg": Message("the average {property} over {events}"),
    "min": Message("the lowest {property} over {events}"),
    "max": Message("the highest {property} over {events}"),
    "distinct": Message("the number of different values of {property} over {events}"),
}
_NUMBER = Message("the number of {events}")
_TOP = Message("in the top {percent}% by {worth}")


def _true(value: Any) -> bool:
    if value is not True:
        raise fault("wrong_type", "must be true: events are ranked by their number")
    return True


class Worth(Windowed):
    """A number made of a customer's events: how many they are, or an aggregate of a property."""

    at_most_one: ClassVar[tuple[tuple[str, tuple[str, ...]], ...]] = (
        ("two_aggregates", ("count", *_OF_PROPERTY)),
        *Windowed.one_window,
    )

    event: Name
    where: PropertyTests = Field(default_factory=dict)
    count: Annotated[bool, PlainValidator(_true)] = NOT_GIVEN
    sum: Name = NOT_GIVEN
    avg: Name = NOT_GIVEN
    min: Name = NOT_GIVEN
    max: Name = NOT_GIVEN
    distinct: Name = NOT_GIVEN

    def aggregate(self) -> tuple[core.Function, str | None]:
        """The function, and the property it is made of."""
        for name in _OF_PROPERTY:
            of: str | None = getattr(self, name)
            if of:
                return core.Function(name), of
        return core.Function.COUNT, None

    def words(self, language: Language) -> str:
        """`the sum of revenue over “Order Completed” events in the last 365 days`."""
        function, of = self.aggregate()
        window = self.window_words(language)
        events = EVENTS.words(language, {"event": canonical(self.event)}, window, self.where)
        if of is None:
            return language.say(_NUMBER, events=events)
        return language.say(_OF_PROPERTY[function], property=of, events=events)


class Ranking(Strict):
    by: Worth
    top_percent: Number

    def contradictions(self) -> Iterator[Problem]:
        if not 0 < self.top_percent <= 100:
            yield Problem("out_of_range", "must be above 0 and at most 100", ("top_percent",))


class Rank(Condition):
    kind: ClassVar[str] = "rank"
    examples = (
        {"rank": {"by": {"event": "Order Completed", "sum": "revenue", "within": "365d"}, "top_percent": 20}},
        {"rank": {"by": {"event": "Product Viewed", "within": "30d"}, "top_percent": 5}},
    )

    rank: Ranking

    def lower(self) -> core.Node:
        by = self.rank.by
        function, of = by.aggregate()
        return core.Rank(event_source(by.event, by.where, by.window()), function, of, self.rank.top_percent)

    def clause(self, context: Context) -> str:
        language = context.language
        return language.say(_TOP, percent=language.number(self.rank.top_percent), worth=self.rank.by.words(language))
