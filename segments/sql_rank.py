"""Who is among the best of everyone: by a border over all customers who have something to be ranked by.

Where the host keeps borders (`Binding.borders`), a customer's own rows and the border tell. Else the border is found in
the same statement.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    ARRAY,
    CTE,
    BigInteger,
    DateTime,
    Float,
    Integer,
    Numeric,
    Select,
    and_,
    case,
    cast,
    func,
    literal,
    null,
    select,
    true,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import array

from segments.core import Function, Op, Rank, Rfm, Score, Source, Stream, Test, operands
from segments.history import instant
from segments.sql_rows import MICROS, Binding, Rows, rows_of
from segments.sql_streams import Ids
from segments.sql_sums import whole
from segments.sql_values import Truth, Value, compared

SCORED_FROM = (2, 3, 4, 5)
"""The scores that have a border; everyone with an order scores 1."""

Measure = Rank | Rfm
"""One that `measures_in` gives."""

# Averages are compared to this many decimals. Those of n and m events of whole micros differ by 1/(n · m) or more.
_DECIMALS = Decimal(10) ** 40
_PLACES = 2  # decimals of percents
_MAY_MISS = (Function.AVG, Function.MIN, Function.MAX)
_INSTANT = DateTime(timezone=True)


def rank_ids(leaf: Rank, binding: Binding, at: datetime) -> Ids:
    """Those who are worth at least as much as the one at position ceil(share · n): that lets ties in."""
    if leaf in binding.borders:
        rows = rows_of(leaf.source, binding, at).in_order(leaf.of)
        worth = _worth(leaf, rows)
        return Ids(rows.grouped().having(worth >= number(binding.borders[leaf])))
    each = worths(leaf, binding, at)
    # Once the border is found, all are gone through again; arrays are filled and read sooner than a table of rows.
    ids, listed = func.array_agg(each.c.customer_id), func.array_agg(each.c.worth)
    known = border_of(leaf, each).add_columns(ids.label("ids"), listed.label("worths")).subquery().c
    told = select(
        func.unnest(known.ids).label("customer_id"), func.unnest(known.worths).label("worth"), known.border
    ).subquery()
    return Ids(select(told.c.customer_id).where(told.c.worth >= told.c.border))


def measures_in(leaf: Rank | Rfm) -> tuple[Measure, ...]:
    """What customers are put in order by: of a rank by one number, of scores by one for each of them, in their order.

    Each is a condition that everyone with a measure fulfils, the same one for all that differ in their borders alone.
    """
    if isinstance(leaf, Rank):
        return (replace(leaf, top_percent=Decimal(100)),)
    return tuple(Rfm(((score, Test(Op.GTE, Decimal(1))),)) for score, _test in leaf.scores)


def worth_by(measure: Measure, binding: Binding, at: datetime) -> Select[Any]:
    """`customer_id, worth` of whoever is ranked at the instant, in the units of borders (`sql_thresholds`)."""
    if isinstance(measure, Rank):
        each = worths(measure, binding, at)
        return select(each.c.customer_id, each.c.worth)
    each = measures(measure, binding, at)
    ((score, _test),) = measure.scores
    worth: Value = each.c.measure_0
    if score is Score.RECENCY:
        worth = cast(func.extract("epoch", worth) * MICROS, BigInteger)
    return select(each.c.customer_id, worth.label("worth"))


def worths(leaf: Rank, binding: Binding, at: datetime) -> CTE:
    """`customer_id, worth` of all who have something to be ranked by; a missing worth is null."""
    rows = rows_of(leaf.source, _of_everyone(binding), at).in_order(leaf.of)
    worth = _worth(leaf, rows)
    return rows.grouped().add_columns(worth.label("worth")).cte()


def border_of(leaf: Rank, each: CTE) -> Select[Any]:
    """The worth of the last one who is in, out of `worths`; null where nobody is.

    A missing worth is last, and never in. Where there can be one, everyone is counted first, and the position is
    reckoned by multiplication, which is exact. `percentile_disc` rounds up to a position, and half a position before
    one is far from any other. Numbering everyone by a window took as long again as adding their orders up.
    """
    if leaf.top_percent <= 0:
        return select(cast(null(), BigInteger).label("border"))
    share: Value = literal(fraction(leaf.top_percent), Float)
    if leaf.function in _MAY_MISS or leaf.top_percent != round(leaf.top_percent, _PLACES):
        many = cast(func.count(each.c.worth), Numeric)
        position = func.ceil(cast(func.count(), Numeric) * literal(leaf.top_percent.scaleb(-2), Numeric))
        middle = (func.least(position, many) - Decimal("0.5")) / func.nullif(many, 0)
        share = cast(select(middle).select_from(each).scalar_subquery(), Float)
    best_first = func.percentile_disc(share).within_group(each.c.worth.desc())
    return select(best_first.label("border")).select_from(each)


def fraction(top_percent: Decimal) -> float:
    """What leads `percentile_disc` to the position ceil(share · n) of n; it reckons ceil(fraction · n) in floats.

    A little less than the share, so that no rounding passes a whole number. Exact for up to 2^31 customers while the
    percents have no more than two decimals: other positions are then further off than that.
    """
    return float(top_percent) / 100 - 1e-14


def rfm_ids(leaf: Rfm, binding: Binding, at: datetime) -> Ids:
    """Those whose scores pass."""
    if leaf in binding.borders:
        rows = rows_of(Source(Stream.ORDERS), binding, at).in_order("revenue")
        known = [
            [measure_border(score, border) for border in borders]
            for (score, _test), borders in zip(leaf.scores, binding.borders[leaf], strict=True)
        ]
        return Ids(rows.grouped().having(_passing(leaf, _measures(leaf, rows), known)))
    each = measures(leaf, binding, at)
    borders = score_borders(leaf, each).subquery()
    found = [[borders.c[f"border_{place}_{step}"] for step in SCORED_FROM] for place in range(len(leaf.scores))]
    mine = [each.c[f"measure_{place}"] for place in range(len(leaf.scores))]
    return Ids(select(each.c.customer_id).join_from(each, borders, true()).where(_passing(leaf, mine, found)))


def measures(leaf: Rfm, binding: Binding, at: datetime) -> CTE:
    """`customer_id, measure_0, …` of all who have an order, in the order of the leaf's scores."""
    rows = rows_of(Source(Stream.ORDERS), _of_everyone(binding), at).in_order("revenue")
    labelled = [value.label(f"measure_{place}") for place, value in enumerate(_measures(leaf, rows))]
    return rows.grouped().add_columns(*labelled).cte()


def score_borders(leaf: Rfm, each: CTE) -> Select[Any]:
    """One row, `border_0_2, …`: out of `measures`, the lowest ones that score 2, 3, 4 and 5; null where nobody does.

    A score is 1 + floor(5 · w / n), where w are strictly worse. So those reach a step who are better than the one at
    position ceil((step - 1) · n / 5) from below.
    """
    many = cast(func.count(), Numeric)
    shares = [(func.ceil(many * (step - 1) / 5) - Decimal("0.5")) / func.nullif(many, 0) for step in SCORED_FROM]
    shared = select(cast(array(shares), ARRAY(Float)).label("places")).select_from(each).cte()
    places = select(shared.c.places).scalar_subquery()
    mine = [each.c[f"measure_{place}"] for place in range(len(leaf.scores))]
    # One sort for each measure; ranks by a window would be sorted, too, and then counted.
    below = [
        type_coerce(func.percentile_disc(places).within_group(measure), ARRAY(measure.type)).label(f"below_{place}")
        for place, measure in enumerate(mine)
    ]
    last = select(*below).select_from(each).subquery()
    lowest = [
        func.min(measure).filter(measure > last.c[f"below_{place}"][index]).label(f"border_{place}_{step}")
        for place, measure in enumerate(mine)
        for index, step in enumerate(SCORED_FROM, 1)
    ]
    return select(*lowest).join_from(each, last, true())


def number(border: Decimal | int | None) -> Value:
    """A border as a parameter; null, which nothing reaches, where there is none."""
    if border is None:
        return cast(null(), BigInteger)
    nearest = int(border)
    is_whole = border == nearest and abs(nearest) < 2**63
    return literal(nearest, BigInteger) if is_whole else literal(border, Numeric)


def measure_border(score: Score, border: Decimal | int | None) -> Value:
    """A border of a score as a parameter: of the last order's time an instant."""
    if score is Score.RECENCY:
        return literal(None if border is None else instant(int(border)), _INSTANT)
    return number(border)


def _passing(leaf: Rfm, mine: Sequence[Value], borders: Sequence[Sequence[Value]]) -> Truth:
    truths = []
    for (_score, test), measure, steps in zip(leaf.scores, mine, borders, strict=True):
        reached = sum((case((measure >= step, 1), else_=0) for step in steps), literal(1, Integer))
        truths.append(compared(test.op, reached, [literal(each, Numeric) for each in operands(test)]))
    return and_(true(), *truths)


def _measures(leaf: Rfm, rows: Rows) -> list[Value]:
    value, _scale = rows.number("revenue")
    by_score = {Score.RECENCY: func.max(rows.ts), Score.FREQUENCY: func.count(), Score.MONETARY: func.sum(value)}
    return [by_score[score] for score, _test in leaf.scores]


def _of_everyone(binding: Binding) -> Binding:
    """Whoever is asked about, all are ranked."""
    return replace(binding, everyone=True)


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
