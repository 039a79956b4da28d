"""Who did one thing after another: the happenings of all steps side by side, grouped by customer.

No step is joined to another, so that no wrong guess of the planner's can make it quadratic. Whether a step can follow
depends only on the earliest instant that the steps before it can reach, and what comes of the last one only on its
newest happening. So the first, the last and the absent step are grouped before they meet, and only the happenings of
steps in between are looked at one by one, in windows over each customer.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import DateTime, Integer, Select, func, literal, literal_column, or_, select, union_all

from segments.core import Sequence, Source
from segments.sql_rows import Binding, rows_of
from segments.sql_streams import Ids
from segments.sql_values import Truth, Value

_INSTANT = DateTime(timezone=True)
_ABSENT = 0  # steps are numbered from 1


def sequence_ids(leaf: Sequence, binding: Binding, at: datetime) -> Ids:
    """Judged for each customer, or for each customer and value of `same`; one value that holds is enough."""
    last = len(leaf.steps)
    parts = []
    for number, source in enumerate(leaf.steps, 1):
        choose = func.max if number == last else func.min if number == 1 else None
        parts.append(_happenings(number, source, choose, leaf.same, binding, at))
    if leaf.absent is not None:
        parts.append(_happenings(_ABSENT, leaf.absent, func.max, leaf.same, binding, at))
    rows = union_all(*parts).subquery()
    for number in range(2, last):
        rows = _with_earliest(rows, number, leaf).subquery()
    newest = func.max(rows.c.ts).filter(rows.c.step == last)
    conditions: list[Truth] = [newest.is_not(None)]
    if last == 2:
        conditions.append(newest > func.min(rows.c.ts).filter(rows.c.step == 1))
    elif last > 2:
        conditions.append(newest > func.min(rows.c[f"reached_{last - 1}"]))
    if leaf.absent is not None:
        came = func.max(rows.c.ts).filter(rows.c.step == _ABSENT)
        conditions.append(or_(came.is_(None), came <= newest))
    if leaf.gap is not None:
        conditions.append(newest <= literal(at - leaf.gap, _INSTANT))
    members = select(rows.c.customer_id).group_by(*_of_one(rows, leaf)).having(*conditions)
    return Ids(members.distinct() if leaf.same is not None else members)


def _happenings(
    number: int, source: Source, choose: Any, same: str | None, binding: Binding, at: datetime
) -> Select[Any]:
    """`customer_id, step, ts`, and `same` where it is asked; one row for each when `choose` picks it."""
    rows = rows_of(source, binding, at)
    value = rows.property(same) if same is not None else None
    columns: list[Value] = [] if value is None else [value.label("same")]
    found = rows.select(rows.ts.label("ts"), *columns)
    each = (found if value is None else found.where(value.is_not(None))).subquery()
    by = [each.c.customer_id, *([] if value is None else [each.c.same])]
    step = literal_column(str(number), Integer).label("step")
    if choose is None:
        return select(*by, step, each.c.ts)
    return select(*by, step, choose(each.c.ts).label("ts")).group_by(*by)


def _with_earliest(rows: Any, number: int, leaf: Sequence) -> Select[Any]:
    """The rows with `reached_2`, the earliest second step that is later than the earliest first one; and so on."""
    if number == 2:
        first = func.min(rows.c.ts).filter(rows.c.step == 1)
        rows = select(rows, first.over(partition_by=_of_one(rows, leaf)).label("reached_1")).subquery()
    follows = (rows.c.step == number) & (rows.c.ts > rows.c[f"reached_{number - 1}"])
    earliest = func.min(rows.c.ts).filter(follows).over(partition_by=_of_one(rows, leaf))
    return select(rows, earliest.label(f"reached_{number}"))


def _of_one(rows: Any, leaf: Sequence) -> list[Any]:
    return [rows.c.customer_id, *([rows.c.same] if leaf.same is not None else [])]
