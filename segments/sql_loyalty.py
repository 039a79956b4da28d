"""The ids of customers by their points and tiers."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import DateTime, Numeric, Select, func, literal, not_, select
from sqlalchemy.dialects.postgresql import distinct_on

from segments.core import Op, Points, Tier, operands, passes
from segments.sql_rows import Binding
from segments.sql_streams import Ids
from segments.sql_sums import sum_compared
from segments.sql_values import compared, holds

_INSTANT = DateTime(timezone=True)


def loyalty_ids(leaf: Points | Tier, binding: Binding, at: datetime) -> Ids:
    """The customers of a leaf at instant `at`; by its opposite when it also holds for those who have none."""
    return _points(leaf, binding, at) if isinstance(leaf, Points) else _tier(leaf, binding, at)


def _points(leaf: Points, binding: Binding, at: datetime) -> Ids:
    """What is unspent is kept as versions, so the sum over those of the instant is the balance."""
    versions, now = binding.points_value.c, literal(at, _INSTANT)
    conditions = [versions.site_id == binding.site_id, versions.since <= now, versions.until > now]
    conditions.append(versions.expires_at > now)  # for the index: whatever is alive expires later
    if leaf.within is not None:
        conditions.append(versions.expires_at <= literal(at + leaf.within, _INSTANT))
    op, asked = leaf.compare.op, operands(leaf.compare)
    exact = sum_compared(op, versions.points, list(asked))
    held = (
        compared(op, func.sum(versions.points), [literal(each, Numeric) for each in asked]) if exact is None else exact
    )
    opposite = passes(leaf.compare, Decimal(0))
    grouped: Select[Any] = select(versions.customer_id).where(*conditions).group_by(versions.customer_id)
    return Ids(grouped.having(not_(held) if opposite else held), opposite)


def _tier(leaf: Tier, binding: Binding, at: datetime) -> Ids:
    newest = tiers_at(binding, at).subquery()
    held = holds(leaf.test, func.to_jsonb(newest.c.tier), at, binding.zone)
    opposite = leaf.test.op in (Op.NE, Op.NOT_IN) or (leaf.test.op is Op.EXISTS and not leaf.test.operand)
    return Ids(select(newest.c.customer_id).where(not_(held) if opposite else held), opposite)


def tiers_at(binding: Binding, at: datetime) -> Select[Any]:
    """(customer_id, tier) of those who have been told one: a customer's tier is that of his newest change."""
    changes = binding.tier_change.c
    told = (
        select(changes.customer_id, changes.tier)
        .ext(distinct_on(changes.customer_id))
        .where(changes.site_id == binding.site_id, changes.at <= literal(at, _INSTANT))
    )
    return told.order_by(changes.customer_id, changes.at.desc(), changes.seq.desc())
