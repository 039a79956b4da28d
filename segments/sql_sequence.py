"""Who did one thing after another: a grouped select per step, each joined to the one before.

Of the step before only its earliest possible instant matters for whether a later one can follow, and of the last step
only its newest: so every step is one pass over its happenings, however many chains they make.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import DateTime, Select, and_, func, literal, select
from sqlalchemy.sql import FromClause

from segments.core import Sequence, Source
from segments.sql_rows import Binding, rows_of
from segments.sql_streams import Ids

_INSTANT = DateTime(timezone=True)


def sequence_ids(leaf: Sequence, binding: Binding, at: datetime) -> Ids:
    """Judged for each customer, or for each customer and value of `same`; one value that holds is enough."""
    steps = [_happenings(source, leaf.same, binding, at) for source in leaf.steps]
    reached = _reached(steps[0]).subquery()
    for step in steps[1:]:
        after = _reached(step).join_from(step, reached, and_(_alike(step, reached), step.c.ts > reached.c.first))
        reached = after.subquery()
    members = select(reached.c.customer_id).distinct()
    if leaf.absent is None:
        return Ids(members)
    came = _reached(_happenings(leaf.absent, leaf.same, binding, at)).subquery()
    members = members.outerjoin_from(reached, came, and_(_alike(came, reached), came.c.last > reached.c.last))
    members = members.where(came.c.customer_id.is_(None))
    if leaf.gap is not None:
        members = members.where(reached.c.last <= literal(at - leaf.gap, _INSTANT))
    return Ids(members)


def _happenings(source: Source, same: str | None, binding: Binding, at: datetime) -> FromClause:
    rows = rows_of(source, binding, at)
    columns: list[Any] = [rows.ts.label("ts")]
    if same is None:
        return rows.select(*columns).subquery()
    value = rows.property(same)
    return rows.select(*columns, value.label("same")).where(value.is_not(None)).subquery()


def _reached(step: FromClause) -> Select[Any]:
    by = [step.c.customer_id, *([step.c.same] if "same" in step.c else [])]
    return select(*by, func.min(step.c.ts).label("first"), func.max(step.c.ts).label("last")).group_by(*by)


def _alike(one: FromClause, other: FromClause) -> Any:
    of_customer = one.c.customer_id == other.c.customer_id
    return and_(of_customer, one.c.same == other.c.same) if "same" in one.c else of_customer
