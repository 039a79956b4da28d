"""The instants at which time alone can turn a leaf that no edge covers (`edges.needs_instant`), for every customer.

They follow from the facts as they stand: whoever stores them has to find a customer's anew only when his facts change,
or when one of them begins or ceases to stand. One instant too many costs a look; one too few would leave someone in a
segment until his next event. So the other tests of a leaf narrow them only where that is simple.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ARRAY, DateTime, Double, Interval, Numeric, Select, cast, func, literal, select, union_all
from sqlalchemy.sql import FromClause

from segments.core import Leaf, Message, Op, OrderGap, Source, Stream, Subscribed, Test, Tier, operands
from segments.edges import is_of_time, sources
from segments.sql_dates import as_instant
from segments.sql_gap import seconds
from segments.sql_loyalty import tiers_at
from segments.sql_reach import browsers_of, fact, messages_of
from segments.sql_rows import MICROS, Binding, rows_of
from segments.sql_values import Value

_INSTANT = DateTime(timezone=True)
_FURTHEST: Final = 250 * 365 * 86_400 * MICROS
"""Microseconds: as far as an interval is multiplied exactly, and nobody waits for more."""


def instants_of(leaf: Leaf, binding: Binding, at: datetime) -> Select[Any]:
    """(customer_id, at), also more than once: the instants from `at` on, with the facts as they stand at `at`.

    A truth changes at such an instant or, of `order_gap`, in the microsecond after it.
    """
    if isinstance(leaf, OrderGap):
        parts = [_of_ratios(leaf, binding, at)]
    elif isinstance(leaf, Message):
        parts = [_of_messages(leaf, binding, at)]
    elif isinstance(leaf, Subscribed):
        parts = list(_of_browsers(leaf, binding, at))
    elif isinstance(leaf, Tier):
        told = tiers_at(binding, at).subquery()
        parts = list(_around(told.c.customer_id, told, func.to_jsonb(told.c.tier), leaf.test, binding))
    else:
        parts = [part for source in sources(leaf) for part in _of_properties(source, binding, at)]
    found = union_all(*parts).subquery().c
    return select(found.customer_id, found.at).where(found.at >= _instant(at))


def _of_ratios(leaf: OrderGap, binding: Binding, at: datetime) -> Select[Any]:
    """The last order, and the mean gap times the ratio later: in whole microseconds, rounded down."""
    orders = rows_of(Source(Stream.ORDERS), binding, at)
    first, last = func.min(orders.ts), func.max(orders.ts)
    span, gaps = _micros(last - first), func.count() - 1
    rhythm = orders.grouped().add_columns(last.label("last"), span.label("span"), gaps.label("gaps"))
    own = rhythm.having(func.count() >= leaf.min_orders, last > first).subquery().c
    asked = literal(list(operands(leaf.ratio)), ARRAY(Numeric))
    ratio = func.unnest(asked).column_valued("ratio")
    ahead = func.div(ratio * own.span, own.gaps)
    reached = own.last + _times("1 microsecond", cast(ahead, Double))
    near = ahead.between(_micros(_instant(at) - own.last), _FURTHEST)
    return select(own.customer_id, reached.label("at")).where(near)


def _of_messages(leaf: Message, binding: Binding, at: datetime) -> Select[Any]:
    """When the newest one leaves the window."""
    happened, conditions = messages_of(leaf, binding, at)
    assert leaf.window.within is not None
    leaves = func.max(happened.c.ts) + _length(leaf.window.within)
    mine = happened.c.customer_id
    return select(mine, leaves.label("at")).where(*conditions).group_by(mine)


def _of_browsers(leaf: Subscribed, binding: Binding, at: datetime) -> Iterator[Select[Any]]:
    table, active = browsers_of(binding, at)
    for name, test in _of_time(leaf.facts):
        for part in _around(table.c.customer_id, table, fact(table.c[name]), test, binding):
            yield part.where(*active)


def _of_properties(source: Source, binding: Binding, at: datetime) -> Iterator[Select[Any]]:
    """Around the instants that what happened writes. The catalogue changes without a word to those who bought."""
    others = () if source.stream is Stream.LINES else tuple(t for t in source.where if not is_of_time(t[1]))
    for name, test in _of_time(source.where):
        for offset in _offsets(test):
            rows = rows_of(replace(source, where=others), binding, at)
            written = as_instant(rows.property(name), binding.zone)
            yield rows.select((written + offset).label("at"))


def _around(customer: Value, table: FromClause, value: Value, test: Test, binding: Binding) -> Iterator[Select[Any]]:
    """Around the instant that a value writes."""
    for offset in _offsets(test):
        turn = as_instant(value, binding.zone) + offset
        yield select(customer, turn.label("at")).select_from(table)


def _offsets(test: Test) -> list[Value]:
    """From the instant that is tested, when it begins and ceases to pass."""
    span: timedelta = test.operand  # type: ignore[assignment]
    return [_length(timedelta(0)), _length(span if test.op is Op.WITHIN_LAST else -span)]


def _of_time(tests: Iterable[tuple[str, Test]]) -> list[tuple[str, Test]]:
    return [(name, test) for name, test in tests if is_of_time(test)]


def _length(span: timedelta) -> Value:
    """In seconds: a day of PostgreSQL's has 23 hours where the connection's clocks are changed."""
    return _times("1 second", literal(span.total_seconds(), Double))


def _times(unit: str, many: Value) -> Value:
    return cast(unit, Interval).op("*", return_type=Interval())(many)


def _micros(span: Value) -> Value:
    return seconds(span) * MICROS


def _instant(at: datetime) -> Value:
    return literal(at, _INSTANT)
