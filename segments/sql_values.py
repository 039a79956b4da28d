"""One JSON value against one operator, as SQL that is true or false but never null.

A missing value (SQL null or JSON null) makes every operator false, except `ne`, `not_in` (true) and `exists: false`.
Text that is no date, or a date that does not exist, is no error: the operators of time are false for it.
"""

import json
import operator
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    DateTime,
    Integer,
    Numeric,
    Text,
    any_,
    case,
    cast,
    false,
    func,
    literal,
    not_,
)
from sqlalchemy.dialects.postgresql import JSONB

from segments.core import Op, Test
from segments.sql_dates import as_instant, as_text

Truth = ColumnElement[bool]
Value = ColumnElement[Any]

_INSTANT = DateTime(timezone=True)


def holds(test: Test, value: Value, at: datetime, zone: str) -> Truth:
    """Whether a jsonb value passes the test at instant `at`; local times are of `zone`."""
    op, operand = test.op, test.operand
    if op is Op.EXISTS:
        return known(value) if operand else not_(known(value))
    if op in (Op.NE, Op.NOT_IN):
        return not_(holds(Test(Op.EQ if op is Op.NE else Op.IN, operand), value, at, zone))
    if op is Op.EQ:
        return func.coalesce(value == _jsonb(operand), false())
    if op is Op.IN:
        listed = cast(literal([_json(entry) for entry in entries(operand)], ARRAY(Text)), ARRAY(JSONB))
        return func.coalesce(value == any_(listed), false())
    if op is Op.CONTAINS:
        within = func.strpos(as_text(value), operand) > 0 if isinstance(operand, str) else false()
        return _by_type(value, string=within, array=value.bool_op("@>")(_jsonb(operand)))
    if op is Op.STARTS_WITH:
        return _by_type(value, string=func.starts_with(as_text(value), operand))
    return _ordered(op, operand, value, at, zone)


def among(column: Value, values: Collection[Any], kind: type[Integer] | type[Text]) -> Truth:
    """Whether a column is one of the values, which go as one parameter however many they are.

    A single one is compared by itself: looking through a list of one costs more than reading an index's row.
    """
    listed = list(values)
    return column == (literal(listed[0], kind) if len(listed) == 1 else any_(literal(listed, ARRAY(kind))))


def known(value: Value) -> Truth:
    """Whether the value is neither absent nor null."""
    return func.coalesce(func.jsonb_typeof(value) != "null", false())


def as_number(value: Value) -> Value:
    """A JSON number, exact; SQL null for anything else. Text is no number."""
    return case((func.jsonb_typeof(value) == "number", cast(value, Numeric)))


def _by_type(value: Value, **truths: Truth) -> Truth:
    cases = [(func.jsonb_typeof(value) == name, truth) for name, truth in truths.items()]
    return case(*cases, else_=false())


def _ordered(op: Op, operand: Any, value: Value, at: datetime, zone: str) -> Truth:
    instant = as_instant(value, zone)
    if isinstance(operand, timedelta):
        start, end = (at - operand, at) if op is Op.WITHIN_LAST else (at, at + operand)
        # a range asks for the instant once, which costs far more to read than to compare
        return func.coalesce(func.tstzrange(_instant(start), _instant(end), "(]").bool_op("@>")(instant), false())
    first = entries(operand)[0]
    number = isinstance(first, Decimal)
    measured = as_number(value) if number else instant
    ends = [literal(end, Numeric) if number else _instant(end) for end in entries(operand)]
    return func.coalesce(compared(op, measured, ends), false())


_COMPARE: dict[Op, Callable[[Value, Value], Truth]] = {
    Op.EQ: operator.eq,
    Op.NE: operator.ne,
    Op.GT: operator.gt,
    Op.AFTER: operator.gt,
    Op.GTE: operator.ge,
    Op.LT: operator.lt,
    Op.BEFORE: operator.lt,
    Op.LTE: operator.le,
}


def compared(op: Op, left: Value, right: list[Value]) -> Truth:
    """`left op right` for the operators of order and equality; null when left is null."""
    if op is Op.BETWEEN:
        low, high = right
        return left.between(low, high)
    if op in (Op.IN, Op.NOT_IN):
        return left.in_(right) if op is Op.IN else left.not_in(right)
    return _COMPARE[op](left, right[0])


def entries(operand: Any) -> tuple[Any, ...]:
    """The values that an operator compares with; of most there is one."""
    return operand if isinstance(operand, tuple) else (operand,)


def _instant(at: datetime) -> Value:
    return literal(at, _INSTANT)


def _json(scalar: Any) -> str:
    return str(scalar) if isinstance(scalar, Decimal) else json.dumps(scalar)


def _jsonb(scalar: Any) -> Value:
    return cast(literal(_json(scalar), Text), JSONB)
