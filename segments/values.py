"""One JSON value against one operator, in memory; `sql_values` says the same in SQL.

A missing value (None) makes every operator false, except `ne`, `not_in` (true) and `exists: false`. JSON numbers are
`Decimal`; an instant `at` is microseconds since 1970, and local times are of `zone`, by its name.
"""

from collections.abc import Callable, Hashable
from datetime import datetime, timedelta
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from segments.core import COMPARE, Op, Test, operands
from segments.history import micros
from segments.moments import read_instant

Holds = Callable[[Any, int, str], bool]
Number = Decimal | int

# Adds and multiplies without rounding, as PostgreSQL's numeric does.
EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)


def tested(test: Test) -> Holds:
    """A function of (value, at, zone): whether the value passes the test."""
    op, operand = test.op, test.operand
    if op is Op.EXISTS:
        return lambda value, at, zone: (value is not None) == operand
    if op in (Op.NE, Op.NOT_IN):
        opposite = tested(Test(Op.EQ if op is Op.NE else Op.IN, operand))
        return lambda value, at, zone: not opposite(value, at, zone)
    if op in (Op.EQ, Op.IN):
        keys = frozenset(map(key, operands(test)))
        return lambda value, at, zone: value is not None and key(value) in keys
    if op is Op.CONTAINS:
        return _contains(operand)
    if op is Op.STARTS_WITH:
        return lambda value, at, zone: isinstance(value, str) and value.startswith(operand)  # type: ignore[arg-type]
    return _ordered(test)


def key(value: Any) -> Hashable:
    """Equal and of one hash for equal JSON values: 5 is 5.0, but neither true nor “5”."""
    if isinstance(value, bool):
        return bool, value
    if isinstance(value, list):
        return list, *map(key, value)
    if isinstance(value, dict):
        return dict, *sorted((name, key(each)) for name, each in value.items())
    return value  # type: ignore[no-any-return]


def compared(test: Test, scale: int = 1) -> Callable[[Number, Number], bool]:
    """A function of (number, unit): whether number compares so to the operand × scale × unit; exact."""
    compare, scaled = COMPARE[test.op], tuple(EXACT.multiply(each, scale) for each in operands(test))
    if not isinstance(test.operand, tuple):
        return lambda number, unit: compare(number, EXACT.multiply(scaled[0], unit))
    return lambda number, unit: compare(number, tuple(EXACT.multiply(each, unit) for each in scaled))


def as_instant(value: Any, zone: str) -> int | None:
    """The instant that a JSON string writes; None when it writes none."""
    return _read(value, zone) if isinstance(value, str) else None


@lru_cache(maxsize=65_536)
def _read(text: str, zone: str) -> int | None:
    return read_instant(text, ZoneInfo(zone))


def _contains(operand: Any) -> Holds:
    """Membership for a list, and a substring for text."""
    wanted, text = key(operand), operand if isinstance(operand, str) else None

    def holds(value: Any, at: int, zone: str) -> bool:
        if isinstance(value, list):
            return any(key(each) == wanted for each in value)
        return text is not None and isinstance(value, str) and text in value

    return holds


def _ordered(test: Test) -> Holds:
    if isinstance(test.operand, timedelta):
        return _near(test.op is Op.WITHIN_LAST, micros(test.operand))
    compare, ends = COMPARE[test.op], operands(test)
    if isinstance(ends[0], Decimal):
        number: Any = test.operand
        return lambda value, at, zone: isinstance(value, Decimal) and compare(value, number)
    instants = tuple(micros(each) for each in ends if isinstance(each, datetime))
    asked: Any = instants if isinstance(test.operand, tuple) else instants[0]

    def holds(value: Any, at: int, zone: str) -> bool:
        instant = as_instant(value, zone)
        return instant is not None and compare(instant, asked)

    return holds


def _near(past: bool, length: int) -> Holds:
    """Up to `length` before the instant, which is in, or after it, which is out."""

    def holds(value: Any, at: int, zone: str) -> bool:
        instant = as_instant(value, zone)
        if instant is None:
            return False
        return at - length < instant <= at if past else at < instant <= at + length

    return holds
