"""Who is among the best of everyone: by a rank over all customers who have something to be ranked by."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Float, Numeric, Select, cast, func, literal, select

from segments.core import Function, Rank, Rfm, Score, Source, Stream, operands
from segments.sql_rows import MICROS, Binding, Rows, rows_of
from segments.sql_streams import Ids
from segments.sql_sums import whole
from segments.sql_values import Value, compared

# Averages are compared to this many decimals. Those of n and m events of whole micros differ by 1/(n · m) or more.
_DECIMALS = Decimal(10) ** 40


def rank_ids(leaf: Rank, binding: Binding, at: datetime) -> Ids:
    """Those who are in."""
    ranked = ranked_in(leaf, binding, at)
    return Ids(ranked.with_only_columns(ranked.selected_columns.customer_id))


def ranked_in(leaf: Rank, binding: Binding, at: datetime) -> Select[Any]:
    """`customer_id, worth` of those who are worth at least as much as the one at position ceil(share · n).

    That lets ties in. A missing worth is last, and never in. The position is reckoned by multiplication, which is
    exact. Numbering everyone by a window took as long again as adding their orders up.
    """
    rows = rows_of(leaf.source, binding, at)
    worth = _worth(leaf, rows)
    each = rows.grouped().add_columns(worth.label("worth")).cte()
    many = cast(func.count(each.c.worth), Numeric)
    position = func.ceil(cast(func.count(), Numeric) * literal(leaf.top_percent.scaleb(-2), Numeric))
    # percentile_disc rounds up to a position, and half a position before one is far from any other.
    share = select((func.least(position, many) - Decimal("0.5")) / func.nullif(many, 0)).select_from(each)
    best_first = func.percentile_disc(cast(share.scalar_subquery(), Float)).within_group(each.c.worth.desc())
    border = select(best_first).select_from(each).scalar_subquery()
    return select(each.c.customer_id, each.c.worth).where(each.c.worth >= border, literal(leaf.top_percent > 0))


def rfm_ids(leaf: Rfm, binding: Binding, at: datetime) -> Ids:
    """Those whose scores pass."""
    scored = scores(leaf, binding, at).subquery()
    tests = [
        compared(test.op, scored.c[f"score_{place}"], [literal(each, Numeric) for each in operands(test)])
        for place, (_score, test) in enumerate(leaf.scores)
    ]
    return Ids(select(scored.c.customer_id).where(*tests))


def scores(leaf: Rfm, binding: Binding, at: datetime) -> Select[Any]:
    """`customer_id, measure_0, score_0, …` of all who have an order, in the order of the leaf's scores.

    A score is one plus five times the share of the strictly worse ones, in whole numbers.
    """
    rows = rows_of(Source(Stream.ORDERS), binding, at)
    value, _scale = rows.number("revenue")
    measures = {Score.RECENCY: func.max(rows.ts), Score.FREQUENCY: func.count(), Score.MONETARY: func.sum(value)}
    everyone = func.count().over()
    columns = []
    for place, (score, _test) in enumerate(leaf.scores):
        worse = func.rank().over(order_by=measures[score]) - 1
        columns.append(measures[score].label(f"measure_{place}"))
        columns.append((1 + func.div(5 * worse, everyone)).label(f"score_{place}"))
    return rows.grouped().add_columns(*columns)


def _worth(leaf: Rank, rows: Rows) -> Value:
    if leaf.of is None:
        return func.count()
    if leaf.function is Function.DISTINCT:
        return func.count(rows.property(leaf.of).distinct())
    value, scale = rows.number(leaf.of)
    if leaf.function is Function.AVG:
        return func.div(cast(func.sum(value), Numeric) * literal(_DECIMALS, Numeric), cast(func.count(value), Numeric))
    if leaf.function is Function.SUM:
        return whole(value) if scale == MICROS else func.coalesce(func.sum(value), 0)
    return func.min(value) if leaf.function is Function.MIN else func.max(value)
