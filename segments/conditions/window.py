"""What conditions over happenings share: a window of time, and the source that an event's name means."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import ClassVar

from pydantic import Field

from segments import core
from segments.fields import Date, Problem, Span, Strict
from segments.language import Language, Message, Plural
from segments.names import ORDER_COMPLETED, canonical
from segments.operators import NOT_GIVEN, PropertyTest
from segments.phrases import AND, IN_THE_LAST, length

_FROM, _UNTIL, _BETWEEN = Message("from {start}"), Message("until {end}"), Message("from {start} until {end}")
_TESTED = Message("{property} {test}")
_IN_WINDOW = Message("{events} {window}")
_WHOSE = Message("{events} whose {tests}")
_COUNTED_WHOSE = Plural("{events} whose {tests}", "{events} whose {tests}", "counted")


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

    def window_words(self, language: Language) -> str | None:
        """`in the last 14 days`; None for all time."""
        if self.within:
            return length(language, IN_THE_LAST, self.within)
        ends = {name: language.moment(end) for name, end in (("start", self.from_), ("end", self.to)) if end}
        if not ends:
            return None
        return language.say(_BETWEEN if len(ends) == 2 else _FROM if self.from_ else _UNTIL, **ends)


class Happenings:
    """How things that happened are called: many of them, and a number of them."""

    def __init__(self, many: Message, counted: Plural) -> None:
        self._many, self._counted = many, counted

    def words(
        self,
        language: Language,
        named: Mapping[str, str],
        window: str | None,
        where: Mapping[str, PropertyTest],
        number: Decimal | None = None,
    ) -> str:
        """`“Product Viewed” events in the last 14 days whose category is “dog”`; with a number, as many as that.

        `named` fills the placeholders of the name.
        """
        told = language.say(self._many, **named) if number is None else language.count(self._counted, number, **named)
        if window is not None:
            told = language.say(_IN_WINDOW, events=told, window=window)
        if not where:
            return told
        tests = tests_words(language, where)
        if number is None:
            return language.say(_WHOSE, events=told, tests=tests)
        return language.count(_COUNTED_WHOSE, number, events=told, tests=tests)


EVENTS = Happenings(Message("“{event}” events"), Plural("“{event}” event", "“{event}” events", "counted"))
PURCHASES = Happenings(Message("purchases"), Plural("purchase", "purchases", "counted"))


def event_source(name: str, where: Mapping[str, PropertyTest], window: core.Window) -> core.Source:
    """The events of a name; those of `Order Completed` are orders as they stand."""
    name, tests = canonical(name), tests_of(where)
    if name == ORDER_COMPLETED:
        return core.Source(core.Stream.ORDERS, "", tests, window)
    return core.Source(core.Stream.EVENTS, name, tests, window)


def tests_of(where: Mapping[str, PropertyTest]) -> tuple[tuple[str, core.Test], ...]:
    """What `where` asks, as evaluators read it."""
    return tuple((field, tested.test()) for field, tested in where.items())


def tests_words(language: Language, where: Mapping[str, PropertyTest]) -> str:
    """`category is “dog” and price is at least 5`; at least one test."""
    tests = [language.say(_TESTED, property=name, test=tested.words(language)) for name, tested in where.items()]
    return language.joined(AND, tests)
