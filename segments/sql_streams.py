"""The ids of customers by what they did: one grouped select per leaf, over the covering indexes.

Columns that a leaf needs besides those of the index (free properties) join `event_body` by `seq`; a leaf without them
stays an index-only scan. A leaf that also holds for customers who did nothing (`count eq 0`, `sum lt 100`) is selected
by its opposite, and the caller takes the complement.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, DateTime, Numeric, Select, cast, func, literal, not_, select

from segments.core import Edge, Fold, Function, operands, passes
from segments.sql_pass import splits_at_one
from segments.sql_rollups import asks_rollups, rolled_ids
from segments.sql_rows import MICROS, Binding, Rows, rows_of
from segments.sql_sums import sum_compared
from segments.sql_values import Truth, Value, compared

_INSTANT = DateTime(timezone=True)


@dataclass(frozen=True, slots=True)
class Ids:
    """A select of `customer_id`, each once; `opposite` when it holds those for whom the leaf is false."""

    select: Select[Any]
    opposite: bool = False


def ids_of(leaf: Fold | Edge, binding: Binding, at: datetime) -> Ids:
    """The customers of a leaf at instant `at`."""
    if asks_rollups(leaf, binding):
        return Ids(*rolled_ids(leaf, binding, at))
    rows = rows_of(leaf.source, binding, at)
    if isinstance(leaf, Edge):
        return Ids(_edge(leaf, rows))
    opposite = leaf.function in _NUMBER_OF_NONE and passes(leaf.compare, Decimal(0))
    rows = rows.in_order(leaf.of)
    if splits_at_one(leaf):
        return Ids(rows.grouped(), opposite)
    held = _having(leaf, rows)
    return Ids(rows.grouped().having(not_(held) if opposite else held), opposite)


_NUMBER_OF_NONE = (Function.COUNT, Function.SUM, Function.DISTINCT)  # 0; of the others it is missing


def _edge(leaf: Edge, rows: Rows) -> Select[Any]:
    border = literal(rows.at - leaf.age, _INSTANT)
    before, after = rows.ts <= border, rows.ts > border
    if leaf.newest != leaf.older:
        return rows.grouped().where(after if leaf.newest else before)
    if rows.by_time and rows.binding.everyone:
        has, has_not = (before, after) if leaf.newest else (after, before)
        found = rows.select().where(has).except_(rows.select().where(has_not)).subquery()
        return select(found.c.customer_id)
    return rows.in_order().grouped().having(func.max(rows.ts) <= border if leaf.newest else func.min(rows.ts) > border)


def _having(leaf: Fold, rows: Rows) -> Truth:
    """The comparison, exact: an average is compared as sum against count times the operand."""
    test = leaf.compare
    asked = operands(test)
    if leaf.function is Function.COUNT:
        return compared(test.op, func.count(), [_number(each) for each in asked])
    assert leaf.of is not None
    if leaf.function is Function.DISTINCT:
        return compared(test.op, func.count(rows.property(leaf.of).distinct()), [_number(each) for each in asked])
    value, scale = rows.number(leaf.of)
    if leaf.function is Function.SUM and scale == MICROS:
        exact = sum_compared(test.op, value, [each * scale for each in asked])
        if exact is not None:
            return exact
    if leaf.function is Function.AVG:
        many = cast(func.count(value), Numeric)
        return compared(test.op, func.sum(value), [_number(each, scale) * many for each in asked])
    made = {
        Function.SUM: func.coalesce(func.sum(value), 0),
        Function.MIN: func.min(value),
        Function.MAX: func.max(value),
    }
    return compared(test.op, made[leaf.function], [_number(each, scale) for each in asked])


def _number(operand: Any, scale: int = 1) -> Value:
    scaled = operand * scale
    whole = scaled == scaled.to_integral_value() and abs(scaled) < 2**62
    return literal(int(scaled), BigInteger) if whole else literal(scaled, Numeric)
