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
from segments.moments import Duration, Moment

MOST_TESTS = 50
NOT_GIVEN: Any = None  # a field left out; a null that is written out is a fault

_VALUE_WORDS = {
    "eq": "is {}",
    "ne": "is not {}",
    "in": "is {}",
    "not_in": "is not {}",
    "gt": "is above {}",
    "gte": "is at least {}",
    "lt": "is below {}",
    "lte": "is at most {}",
    "between": "is between {}",
    "contains": "contains {}",
    "starts_with": "starts with {}",
    "before": "is before {}",
    "after": "is after {}",
    "within_last": "is within the last {}",
    "within_next": "is within the next {}",
    "anniversary_within": "has its anniversary within {}",
}
_NUMBER_WORDS = {
    "eq": "exactly {}",
    "ne": "other than {}",
    "in": "{}",
    "not_in": "other than {}",
    "gt": "more than {}",
    "gte": "at least {}",
    "lt": "less than {}",
    "lte": "at most {}",
    "between": "between {}",
}


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

    def words(self) -> str:
        """`is at least 5`."""
        name, operand = self.given()
        if name == "exists":
            return "is known" if operand else "is missing"
        return _VALUE_WORDS[name].format(_said(operand, "and" if name == "between" else "or"))


PropertyTests = Annotated[dict[Name, PropertyTest], Field(max_length=MOST_TESTS)]


class AttributeTest(PropertyTest):
    """What an `attribute` node asks: dates of birth have their own operator."""

    exactly_one: ClassVar[tuple[str, ...]] = tuple(core.Op)

    anniversary_within: Days = NOT_GIVEN


class Comparison(Tested):
    """What is asked of a count."""

    exactly_one: ClassVar[tuple[str, ...]] = tuple(_NUMBER_WORDS)

    eq: Number = NOT_GIVEN
    ne: Number = NOT_GIVEN
    in_: Numbers = Field(default=NOT_GIVEN, alias="in")
    not_in: Numbers = NOT_GIVEN
    gt: Number = NOT_GIVEN
    gte: Number = NOT_GIVEN
    lt: Number = NOT_GIVEN
    lte: Number = NOT_GIVEN
    between: NumberPair = NOT_GIVEN

    def words(self) -> str:
        """`at least 5`."""
        name, operand = self.given()
        return _NUMBER_WORDS[name].format(_said(operand, "and" if name == "between" else "or"))


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


def _said(operand: Any, joint: str) -> str:
    if isinstance(operand, tuple):
        *most, last = [_said(entry, joint) for entry in operand]
        return f"{', '.join(most)} {joint} {last}" if most else last
    if isinstance(operand, bool):
        return "true" if operand else "false"
    if isinstance(operand, Decimal):
        return f"{operand:f}"
    if isinstance(operand, Moment):
        return operand.text
    if isinstance(operand, Duration):
        return operand.words
    return f"“{operand}”"
