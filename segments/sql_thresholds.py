"""Where the border runs between those who are in and the others, for conditions that depend on everyone.

With it, one customer's own worth or measures tell whether he is in, and only those between an old border and a new one
need to be looked at again.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Select, func, select

from segments.core import Rank, Rfm
from segments.history import micros
from segments.sql_rank import ranked_in, scores
from segments.sql_rows import Binding

_STEPS = (2, 3, 4, 5)

Border = Decimal | int | None
Borders = tuple[tuple[Border, ...], ...]


def threshold(leaf: Rank | Rfm, binding: Binding, at: datetime) -> Select[Any]:
    """One row, for `read_threshold`: the border over everyone at instant `at`."""
    if isinstance(leaf, Rank):
        return select(func.min(ranked_in(leaf, binding, at).subquery().c.worth))
    scored = scores(leaf, binding, at).subquery()
    return select(
        *[
            func.min(scored.c[f"measure_{place}"]).filter(scored.c[f"score_{place}"] >= step)
            for place in range(len(leaf.scores))
            for step in _STEPS
        ]
    )


def read_threshold(leaf: Rank | Rfm, row: Sequence[Any]) -> Border | Borders:
    """What `World.thresholds` holds for the leaf, out of the row that `threshold` gave.

    Of a rank the worth of the last one still in, in the units of `sql_rank`; of scores, for each one asked, the lowest
    measures that reach 2, 3, 4 and 5: instants in microseconds, money in micros. None where there is nobody.
    """
    found = [micros(each) if isinstance(each, datetime) else each for each in row]
    if isinstance(leaf, Rank):
        return found[0]
    many = len(_STEPS)
    return tuple(tuple(found[start : start + many]) for start in range(0, len(found), many))
