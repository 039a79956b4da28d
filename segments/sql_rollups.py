"""What deleted events add to a leaf: the events that are there and what others were added up to, side by side.

Both are rows of how many, first, last and amount, which are added up by customer. Sites that delete nothing keep the
plain form, which reads the covering indexes alone.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    DateTime,
    Numeric,
    Select,
    cast,
    func,
    literal,
    literal_column,
    not_,
    select,
    union_all,
)

from segments.core import Edge, Fold, Function, operands, passes
from segments.rollups import reads_rollups
from segments.sql_rows import Binding, by_term, rows_of
from segments.sql_values import Truth, Value, compared

_INSTANT = DateTime(timezone=True)
_NUMBER_OF_NONE = (Function.COUNT, Function.SUM)  # 0; of the others it is missing


def asks_rollups(leaf: Fold | Edge, binding: Binding) -> bool:
    """Whether the leaf asks of events that the site has deleted."""
    return reads_rollups(leaf) and leaf.source.name in binding.rolled_up


def rolled_ids(leaf: Fold | Edge, binding: Binding, at: datetime) -> tuple[Select[Any], bool]:
    """A select of `customer_id`, each once; and whether it holds those for whom the leaf is false."""
    every = union_all(_there(leaf, binding, at), _gone(leaf, binding)).subquery().c
    found = select(every.customer_id).group_by(every.customer_id)
    if isinstance(leaf, Edge):
        border = literal(at - leaf.age, _INSTANT)
        end = func.max(every.last_at) if leaf.newest else func.min(every.first_at)
        return found.having(end <= border if leaf.older else end > border), False
    opposite = leaf.function in _NUMBER_OF_NONE and passes(leaf.compare, Decimal(0))
    held = compared(leaf.compare.op, _made(leaf, every), [literal(each, Numeric) for each in operands(leaf.compare)])
    return found.having(not_(held) if opposite else held), opposite


def _made(leaf: Fold, every: Any) -> Value:
    made = {
        Function.COUNT: func.sum(every.many),
        Function.SUM: func.coalesce(func.sum(every.amount), 0),
        Function.MIN: func.min(every.amount),
        Function.MAX: func.max(every.amount),
    }
    return made[leaf.function]


def _there(leaf: Fold | Edge, binding: Binding, at: datetime) -> Select[Any]:
    rows = rows_of(leaf.source, binding, at)
    of = leaf.of if isinstance(leaf, Fold) else None
    amount = literal_column("null", Numeric) if of is None else rows.number(of)[0]
    one = literal_column("1", BigInteger)
    return rows.select(
        one.label("many"), rows.ts.label("first_at"), rows.ts.label("last_at"), cast(amount, Numeric).label("amount")
    )


def _gone(leaf: Fold | Edge, binding: Binding) -> Select[Any]:
    table = binding.event_rollup.c
    of = leaf.of or "" if isinstance(leaf, Fold) else ""
    kind = binding.term_ids("event", [leaf.source.name])[leaf.source.name]
    conditions: list[Truth] = [table.kind_id == kind, table.property == of]
    for name, test in leaf.source.where:
        fits = by_term(name, table.category_id, test, binding)
        assert fits is not None, "only texts are asked of it"
        conditions.append(fits)
    amounts = {Function.SUM: table.total, Function.MIN: table.least, Function.MAX: table.greatest}
    amount = amounts.get(leaf.function, table.total) if isinstance(leaf, Fold) else table.total
    return select(table.customer_id, table.many, table.first_at, table.last_at, amount.label("amount")).where(
        *conditions
    )
