"""The ids of customers by how they can be reached, and by what became of the messages to them."""

from datetime import datetime
from typing import Any

from sqlalchemy import DateTime, Select, Uuid, func, literal, or_, select
from sqlalchemy.sql import FromClause

from segments.core import Message, Subscribed
from segments.sql_rows import Binding
from segments.sql_values import Truth, Value, holds

_INSTANT = DateTime(timezone=True)
_RFC3339 = 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'


def reached(leaf: Message | Subscribed, binding: Binding, at: datetime) -> Select[Any]:
    """`customer_id` of the leaf's customers at instant `at`, each once."""
    return _messaged(leaf, binding, at) if isinstance(leaf, Message) else _subscribed(leaf, binding, at)


def _messaged(leaf: Message, binding: Binding, at: datetime) -> Select[Any]:
    happened, conditions = messages_of(leaf, binding, at)
    return select(happened.c.customer_id).where(*conditions).group_by(happened.c.customer_id)


def messages_of(leaf: Message, binding: Binding, at: datetime) -> tuple[FromClause, list[Truth]]:
    """Rows of (customer_id, ts), and which of them are the leaf's at instant `at`."""
    happened = binding.messages(leaf.outcome, at)
    window, ts = leaf.window, happened.c.ts
    conditions = [ts <= _instant(at)]
    if leaf.campaign is not None:
        conditions.append(happened.c.campaign == literal(leaf.campaign, Uuid(as_uuid=False)))
    if window.within is not None:
        conditions.append(ts > _instant(at - window.within))
    if window.start is not None:
        conditions.append(ts >= _instant(window.start))
    if window.end is not None:
        conditions.append(ts < _instant(window.end))
    return happened, conditions


def _subscribed(leaf: Subscribed, binding: Binding, at: datetime) -> Select[Any]:
    table, conditions = browsers_of(binding, at)
    conditions += [holds(test, fact(table.c[name]), at, binding.zone) for name, test in leaf.facts]
    return select(table.c.customer_id).where(*conditions).group_by(table.c.customer_id)


def browsers_of(binding: Binding, at: datetime) -> tuple[FromClause, list[Truth]]:
    """Subscriptions, and which of them are active at instant `at`."""
    table = binding.subscription.alias()
    conditions = [
        table.c.site_id == binding.site_id,
        table.c.created_at <= _instant(at),
        or_(table.c.state == "active", table.c.ended_at > _instant(at)),
    ]
    return table, conditions


def fact(column: Value) -> Value:
    """A fact as JSON; an instant as the API writes it, whatever the connection's time zone."""
    if isinstance(column.type, DateTime):
        return func.to_jsonb(func.to_char(func.timezone("UTC", column), _RFC3339))
    return func.to_jsonb(column)


def _instant(at: datetime) -> Value:
    return literal(at, _INSTANT)
