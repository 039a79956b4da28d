"""Operators on a value, and comparisons of an aggregate: fields, what they lower to, and their words."""

from decimal import Decimal
from typing import Annotated, Any, ClassVar

from pydantic import Field

from segments import core
from segments.fields import (
    Date,
    Days,
    Name,
    Number,
    NumberPair,
    Numbers,
    Ordered,
    OrderedPair,
    Scalar,
    Scalars,
    Span,
    Strict,
    Text,
)
from segments.language import Language, Message
from segments.moments import Duration, Moment
from segments.phrases import WITHIN, WITHIN_THE_LAST, WITHIN_THE_NEXT, length, value

MOST_TESTS = 50
NOT_GIVEN: Any = None  # a field left out; a null that is written out is a fault

_OF_VALUE = {
    "eq": Message("is {value}"),
    "ne": Message("is not {value}"),
    "in": Message("is {value}"),
    "not_in": Message("is not {value}"),
    "gt": Message("is above {value}"),
    "gte": Message("is at least {value}"),
    "lt": Message("is below {value}"),
    "lte": Message("is at most {value}"),
    "contains": Message("contains {value}"),
    "starts_with": Message("starts with {value}"),
    "before": Message("is before {value}"),
    "after": Message("is after {value}"),
}
_OF_TIME = {
    "within_last": (Message("is {length}"), WITHIN_THE_LAST),
    "within_next": (Message("is {length}"), WITHIN_THE_NEXT),
    "anniversary_within": (Message("has its anniversary {length}"), WITHIN),
}
_BETWEEN = Message("is between {low} and {high}")
_KNOWN, _MISSING = Message("is known"), Message("is missing")
_OF_NUMBER = {
    "eq": Message("exactly {value}"),
    "ne": Message("other than {value}"),
    "in": Message("{value}"),
    "not_in": Message("other than {value}"),
    "gt": Message("more than {value}"),
    "gte": Message("at least {value}"),
    "lt": Message("less than {value}"),
    "lte": Message("at most {value}"),
}
_NUMBER_BETWEEN = Message("between {low} and {high}")


class Tested(Strict):
    """Holds exactly one operator."""

    def given(self) -> tuple[str, Any]:
        """The operator as rules write it, and its operand."""
        for name, field in type(self).model_fields.items():
            written = field.alias or name
            if written in self.exactly_one and name in self.model_fields_set:
                return written, getattr(self, name)
        raise AssertionError("one is given, or the rule had been refused")

    def test(self) -> core.Test:
        """The operator with its operand as evaluators read it."""
        name, operand = self.given()
        return core.Test(core.Op(name), _plain(operand))


class PropertyTest(Tested):
    """What `where` asks of a property."""

    exactly_one: ClassVar[tuple[str, ...]] = tuple(op for op in core.Op if op is not core.Op.ANNIVERSARY_WITHIN)

    eq: Scalar = NOT_GIVEN
    ne: Scalar = NOT_GIVEN
    in_: Scalars = Field(default=NOT_GIVEN, alias="in")
    not_in: Scalars = NOT_GIVEN
    gt: Ordered = NOT_GIVEN
    gte: Ordered = NOT_GIVEN
    lt: Ordered = NOT_GIVEN
    lte: Ordered = NOT_GIVEN
    between: OrderedPair = NOT_GIVEN
    contains: Scalar = NOT_GIVEN
    starts_with: Text = NOT_GIVEN
    exists: bool = NOT_GIVEN
    before: Date = NOT_GIVEN
    after: Date = NOT_GIVEN
    within_last: Span = NOT_GIVEN
    within_next: Span = NOT_GIVEN

    def words(self, language: Language) -> str:
        """`is at least 5`."""
        name, operand = self.given()
        if name == "exists":
            return language.say(_KNOWN if operand else _MISSING)
        if name == "between":
            return _between(language, _BETWEEN, operand)
        if name in _OF_TIME:
            message, said = _OF_TIME[name]
            return language.say(message, length=length(language, said, operand))
        return language.say(_OF_VALUE[name], value=value(language, operand))


PropertyTests = Annotated[dict[Name, PropertyTest], Field(max_length=MOST_TESTS)]


class AttributeTest(PropertyTest):
    """What an `attribute` node asks: dates of birth have their own operator."""

    exactly_one: ClassVar[tuple[str, ...]] = tuple(core.Op)

    anniversary_within: Days = NOT_GIVEN


class Comparison(Tested):
    """What is asked of a count."""

    exactly_one: ClassVar[tuple[str, ...]] = (*_OF_NUMBER, "between")

    eq: Number = NOT_GIVEN
    ne: Number = NOT_GIVEN
    in_: Numbers = Field(default=NOT_GIVEN, alias="in")
    not_in: Numbers = NOT_GIVEN
    gt: Number = NOT_GIVEN
    gte: Number = NOT_GIVEN
    lt: Number = NOT_GIVEN
    lte: Number = NOT_GIVEN
    between: NumberPair = NOT_GIVEN

    def words(self, language: Language) -> str:
        """`at least 5`."""
        name, operand = self.given()
        if name == "between":
            return _between(language, _NUMBER_BETWEEN, operand)
        return language.say(_OF_NUMBER[name], value=value(language, operand))

    def number(self) -> Decimal:
        """The number that is said last: `at least 1 event`, `1 or 2 events`."""
        operand = self.given()[1]
        last: Decimal = operand[-1] if isinstance(operand, tuple) else operand
        return last


class PropertyComparison(Comparison):
    """What is asked of an aggregate of a property."""

    of: Name


class Age(Tested):
    """What is asked of the newest or the oldest occurrence."""

    exactly_one: ClassVar[tuple[str, ...]] = ("before", "within")

    before: Span = NOT_GIVEN
    within: Span = NOT_GIVEN


def _plain(operand: Any) -> core.Operand:
    if isinstance(operand, tuple):
        return tuple(_plain(entry) for entry in operand)  # type: ignore[return-value]
    if isinstance(operand, Moment):
        return operand.at
    if isinstance(operand, Duration):
        return operand.length
    return operand  # type: ignore[no-any-return]


def _between(language: Language, message: Message, ends: tuple[Any, Any]) -> str:
    low, high = (value(language, end) for end in ends)
    return language.say(message, low=low, high=high)
