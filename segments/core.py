"""The closed algebra that evaluators understand. Surface conditions lower to these few nodes.

All of them are frozen and compare by value, so that equal leaves of a rule are evaluated once.
"""

import math
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Any

Scalar = str | bool | Decimal
Operand = Scalar | datetime | timedelta | tuple[Scalar, ...] | tuple[datetime, ...]


class Op(StrEnum):
    """How a value is tested. Ordering takes numbers or instants; text and numbers never compare equal."""

    EQ = "eq"
    NE = "ne"
    IN = "in"
    NOT_IN = "not_in"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    BETWEEN = "between"
    CONTAINS = "contains"
    STARTS_WITH = "starts_with"
    EXISTS = "exists"
    BEFORE = "before"
    AFTER = "after"
    WITHIN_LAST = "within_last"
    WITHIN_NEXT = "within_next"
    ANNIVERSARY_WITHIN = "anniversary_within"


_OF_EQUALITY = (Op.EQ, Op.NE, Op.IN, Op.NOT_IN)


@dataclass(frozen=True, slots=True)
class Test:
    """One operator with its operand. True is not 1 here, though Python finds them equal: rules tell types."""

    op: Op
    operand: Operand

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Test):
            return NotImplemented
        same = self.op is other.op and self.operand == other.operand
        return same and list(map(type, operands(self))) == list(map(type, operands(other)))


def operands(test: Test) -> tuple[Any, ...]:
    """The operands: the entries of a list, or the one there is."""
    return test.operand if isinstance(test.operand, tuple) else (test.operand,)


class Stream(StrEnum):
    """What happened: plain events, orders as they stand at the instant, or the lines of those orders."""

    EVENTS = "events"
    ORDERS = "orders"
    LINES = "lines"


@dataclass(frozen=True, slots=True)
class Window:
    """`now - within < ts <= now`, or `start <= ts < end`; never later than now."""

    within: timedelta | None = None
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """The occurrences a leaf looks at. `name` is the event's, for plain events only."""

    stream: Stream
    name: str = ""
    where: tuple[tuple[str, Test], ...] = ()
    window: Window = Window()


def is_by_text(stream: Stream, name: str, test: Test) -> bool:
    """Whether a test of an event's category is false (or `ne` true) of all that is no text."""
    listed = all(isinstance(each, str) for each in operands(test))
    return stream is Stream.EVENTS and name == "category" and test.op in _OF_EQUALITY and listed


class Function(StrEnum):
    """What is made of the occurrences: 0 for none with count, sum, distinct; missing with avg, min, max."""

    COUNT = "count"
    SUM = "sum"
    AVG = "avg"
    MIN = "min"
    MAX = "max"
    DISTINCT = "distinct"


@dataclass(frozen=True, slots=True)
class And:
    """All hold; true when empty."""

    children: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Or:
    """Some holds; false when empty."""

    children: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Not:
    """The complement over all customers of the site."""

    child: "Node"


@dataclass(frozen=True, slots=True)
class Attribute:
    """A customer's attribute passes the test."""

    name: str
    test: Test


@dataclass(frozen=True, slots=True)
class Fold:
    """A number made of the occurrences compares so; a missing number never does."""

    source: Source
    function: Function
    of: str | None
    compare: Test


@dataclass(frozen=True, slots=True)
class Edge:
    """The newest (or oldest) occurrence is younger than `age`, or (`older`) at least that old."""

    source: Source
    newest: bool
    older: bool
    age: timedelta


@dataclass(frozen=True, slots=True)
class Member:
    """Member of another segment."""

    segment: str


HASHES = 2**32


@dataclass(frozen=True, slots=True)
class Sample:
    """A stable share of the customers, by a hash of salt and outside identity."""

    percent: Decimal
    salt: str

    @property
    def bound(self) -> int:
        """Of so many HASHES, those below this one are in."""
        return math.ceil(Fraction(self.percent) * HASHES / 100)


@dataclass(frozen=True, slots=True)
class OrderGap:
    """The time since the last order against the customer's own mean gap between orders; false where that is 0."""

    ratio: Test
    min_orders: int


@dataclass(frozen=True, slots=True)
class Rank:
    """Among the best by a number made of the occurrences, of all customers who have one; ties are in."""

    source: Source
    function: Function
    of: str | None
    top_percent: Decimal


class Score(StrEnum):
    """What customers with orders are scored by, 1 to 5: the last order's time, how many orders, and their value."""

    RECENCY = "recency"
    FREQUENCY = "frequency"
    MONETARY = "monetary"


@dataclass(frozen=True, slots=True)
class Rfm:
    """Each score passes its test; false without an order."""

    scores: tuple[tuple[Score, Test], ...]


@dataclass(frozen=True, slots=True)
class Replenish:
    """The lifespan of something bought, counted from its last purchase, ends after now and within so long."""

    within: timedelta


@dataclass(frozen=True, slots=True)
class Sequence:
    """Occurrences of each step, strictly one after the other, with one value of the property `same` in all of them.

    With `absent`, none of those has come later than the newest occurrence that completes the steps, which is at least
    `gap` old.
    """

    steps: tuple[Source, ...]
    absent: Source | None
    gap: timedelta | None
    same: str | None


class Outcome(StrEnum):
    """What became of a message: taken by the push service, seen, clicked, followed by an order."""

    ACCEPTED = "accepted"
    SHOWN = "shown"
    CLICKED = "clicked"
    CONVERTED = "converted"


@dataclass(frozen=True, slots=True)
class Message:
    """A message of the campaign (None: of any) had the outcome in the window."""

    campaign: str | None
    outcome: Outcome
    window: Window


@dataclass(frozen=True, slots=True)
class Subscribed:
    """One active subscription passes all the tests of its facts."""

    facts: tuple[tuple[str, Test], ...]


@dataclass(frozen=True, slots=True)
class Points:
    """The loyalty points (those that expire no later than `within` from now, if given) compare so; 0 without any."""

    within: timedelta | None
    compare: Test


@dataclass(frozen=True, slots=True)
class Tier:
    """The loyalty tier passes the test."""

    test: Test


Happened = Fold | Edge | OrderGap | Rank | Rfm | Replenish | Sequence | Points | Tier
Leaf = Attribute | Happened | Member | Sample | Message | Subscribed
Node = And | Or | Not | Leaf


def leaves(node: Node) -> Iterator[Leaf]:
    """Every leaf, in the order of the rule."""
    if isinstance(node, And | Or):
        for child in node.children:
            yield from leaves(child)
    elif isinstance(node, Not):
        yield from leaves(node.child)
    else:
        yield node


# Each takes a number (or an instant) and the operand, which is a tuple for lists and ranges.
COMPARE: dict[Op, Callable[[Any, Any], bool]] = {
    Op.EQ: operator.eq,
    Op.NE: operator.ne,
    Op.IN: lambda number, listed: number in listed,
    Op.NOT_IN: lambda number, listed: number not in listed,
    Op.GT: operator.gt,
    Op.AFTER: operator.gt,
    Op.GTE: operator.ge,
    Op.LT: operator.lt,
    Op.BEFORE: operator.lt,
    Op.LTE: operator.le,
    Op.BETWEEN: lambda number, ends: ends[0] <= number <= ends[1],
}


def passes(test: Test, number: Decimal) -> bool:
    """Whether a number passes the test of a Fold."""
    return COMPARE[test.op](number, test.operand)
