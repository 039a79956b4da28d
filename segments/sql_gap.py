"""Who is late by his own rhythm: the time since the last order against the mean gap between orders."""

from datetime import datetime
from typing import Any

from sqlalchemy import DateTime, Numeric, cast, extract, func, literal

from segments.core import OrderGap, Source, Stream, operands
from segments.sql_rows import Binding, rows_of
from segments.sql_streams import Ids
from segments.sql_values import Value, compared

_INSTANT = DateTime(timezone=True)


def order_gap_ids(leaf: OrderGap, binding: Binding, at: datetime) -> Ids:
    """Compared by multiplying, so that it is exact: since × (orders - 1) against ratio × (last - first)."""
    orders = rows_of(Source(Stream.ORDERS), binding, at).in_order()
    first, last, gaps = func.min(orders.ts), func.max(orders.ts), func.count() - 1
    since = seconds(literal(at, _INSTANT) - last) * cast(gaps, Numeric)
    spans = [literal(each, Numeric) * seconds(last - first) for each in operands(leaf.ratio)]
    enough = func.count() >= leaf.min_orders
    return Ids(orders.grouped().having(enough, last > first, compared(leaf.ratio.op, since, spans)))


def seconds(span: Any) -> Value:
    """An interval between two instants as exact seconds."""
    return cast(extract("epoch", span), Numeric)
