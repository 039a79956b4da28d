"""Who is among the best of everyone: by a rank over all customers who have something to be ranked by."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import Numeric, cast, func, literal, select

from segments.core import Function, Rank, Rfm, Score, Source, Stream, operands
from segments.sql_rows import Binding, Rows, rows_of
from segments.sql_streams import Ids
from segments.sql_values import Value, compared

# Averages are compared to this many decimals. Those of n and m events of whole micros differ by 1/(n · m) or more.
_DECIMALS = Decimal(10) ** 40


def rank_ids(leaf: Rank, binding: Binding, at: datetime) -> Ids:
    """In are those with fewer than ceil(share · n) strictly better ones, which lets ties in. A missing worth is last.

    The position is reckoned by multiplication, which is exact.
    """
    rows = rows_of(leaf.source, binding, at)
    worth = _worth(leaf, rows)
    ranked = (
        rows.grouped()
        .add_columns(
            worth.label("worth"),
            func.rank().over(order_by=worth.desc().nulls_last()).label("place"),
            func.count().over().label("everyone"),
        )
        .subquery()
    )
    last = func.ceil(cast(ranked.c.everyone, Numeric) * literal(leaf.top_percent.scaleb(-2), Numeric))
    return Ids(select(ranked.c.customer_id).where(ranked.c.place <= last, ranked.c.worth.is_not(None)))


def rfm_ids(leaf: Rfm, binding: Binding, at: datetime) -> Ids:
    """One plus five times the strictly worse ones over all who have an order, in whole numbers."""
    rows = rows_of(Source(Stream.ORDERS), binding, at)
    value, _scale = rows.number("revenue")
    measures = {Score.RECENCY: func.max(rows.ts), Score.FREQUENCY: func.count(), Score.MONETARY: func.sum(value)}
    worse = [func.rank().over(order_by=measures[score]) - 1 for score, _test in leaf.scores]
    everyone = func.count().over()
    scores = [(1 + func.div(5 * each, everyone)).label(f"score_{place}") for place, each in enumerate(worse)]
    scored = rows.grouped().add_columns(*scores).subquery()
    tests = [
        compared(test.op, scored.c[f"score_{place}"], [literal(each, Numeric) for each in operands(test)])
        for place, (_score, test) in enumerate(leaf.scores)
    ]
    return Ids(select(scored.c.customer_id).where(*tests))


def _worth(leaf: Rank, rows: Rows) -> Value:
    if leaf.of is None:
        return func.count()
    if leaf.function is Function.DISTINCT:
        return func.count(rows.property(leaf.of).distinct())
    value, _scale = rows.number(leaf.of)
    if leaf.function is Function.AVG:
        return func.div(cast(func.sum(value), Numeric) * literal(_DECIMALS, Numeric), cast(func.count(value), Numeric))
    if leaf.function is Function.SUM:
        return func.coalesce(func.sum(value), 0)
    return func.min(value) if leaf.function is Function.MIN else func.max(value)
