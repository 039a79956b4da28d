"""Where the border runs between those who are in and the others, for conditions that depend on everyone.

With it, one customer's own worth or measures tell whether he is in, and only those between an old border and a new one
need to be looked at again.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import CTE, ColumnElement, Select, and_, false, func, or_, select

from segments.core import Rank, Rfm, Test, passes
from segments.history import micros
from segments.sql_rank import SCORED_FROM, border_of, measure_border, measures, number, score_borders, worths
from segments.sql_rows import Binding
from segments.sql_values import Truth, Value

Border = Decimal | int | None
Borders = tuple[tuple[Border, ...], ...]


def threshold(leaf: Rank | Rfm, binding: Binding, at: datetime) -> Select[Any]:
    """One row, for `read_threshold`: the border over everyone at instant `at`."""
    each = _each(leaf, binding, at)
    return border_of(leaf, each) if isinstance(leaf, Rank) else score_borders(leaf, each)


def moved_threshold(leaf: Rank | Rfm, binding: Binding, at: datetime, old: Border | Borders, most: int) -> Select[Any]:
    """The row of `threshold`, and `between`: up to `most` customers for whom the new border tells otherwise than `old`.

    Null where there are none. `old` is as `read_threshold` gives it. Worths and borders are found once for both.
    """
    each = _each(leaf, binding, at)
    if isinstance(leaf, Rank):
        new = border_of(leaf, each).cte()
        truth = _between(each.c.worth, number(old), new.c.border)  # type: ignore[arg-type]
    else:
        new = score_borders(leaf, each).cte()
        truth = or_(false(), *_between_scores(leaf, each, new, old))  # type: ignore[arg-type]
    found = select(each.c.customer_id).join_from(each, new, truth).limit(most).subquery()
    return select(new, select(func.array_agg(found.c.customer_id)).scalar_subquery().label("between"))


def read_threshold(leaf: Rank | Rfm, row: Sequence[Any]) -> Border | Borders:
    """What `World.thresholds` holds for the leaf, out of the row that `threshold` gave, or of `flat`.

    Of a rank the worth of the last one still in, in the units of `sql_rank`; of scores, for each one asked, the lowest
    measures that reach 2, 3, 4 and 5: instants in microseconds, money in micros. None where there is nobody.
    """
    found = [micros(each) if isinstance(each, datetime) else each for each in row]
    if isinstance(leaf, Rank):
        return found[0]
    many = len(SCORED_FROM)
    return tuple(tuple(found[place * many : (place + 1) * many]) for place in range(len(leaf.scores)))


def flat(border: Border | Borders) -> list[Border]:
    """The numbers of a border in a row, to be stored; `read_threshold` reads them."""
    return [each for steps in border for each in steps] if isinstance(border, tuple) else [border]


def _each(leaf: Rank | Rfm, binding: Binding, at: datetime) -> CTE:
    return worths(leaf, binding, at) if isinstance(leaf, Rank) else measures(leaf, binding, at)


def _between_scores(leaf: Rfm, each: CTE, new: Any, old: Borders) -> list[Truth]:
    """Of each score, those borders that its test asks about."""
    return [
        _between(each.c[f"measure_{place}"], measure_border(score, old[place][index]), new.c[f"border_{place}_{step}"])
        for place, (score, test) in enumerate(leaf.scores)
        for index, step in enumerate(SCORED_FROM)
        if turns(test, step)
    ]


def turns(test: Test, step: int) -> bool:
    """Whether it matters to the test if a score reaches the step or is one less."""
    return passes(test, Decimal(step)) != passes(test, Decimal(step - 1))


def _between(mine: Value, old: Value, new: ColumnElement[Any]) -> Truth:
    """Whether one border is reached and the other is not; no border is beyond all."""
    is_below = or_(old.is_(None), new.is_(None), mine < func.greatest(old, new))
    return and_(mine >= func.least(old, new), is_below)
