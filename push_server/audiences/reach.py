"""Who can be sent to."""

from typing import Any

from sqlalchemy import ARRAY, ColumnElement, FromClause, Integer, Select, any_, case, func, select
from sqlmodel import col

from push_server.subscriptions.models import Subscription, SubscriptionState

_FEW = 100_000
"""So many ids are looked up one by one in the index of subscriptions sooner than all subscriptions are hashed."""


def active() -> Select[int]:
    """The ids of customers with an active subscription, once for each, to be asked about customers of one site.

    Subscriptions are not asked for their site, so that an index alone answers.
    """
    return select(col(Subscription.customer_id)).where(col(Subscription.state) == SubscriptionState.ACTIVE)


def reachable(found: FromClause) -> ColumnElement[int]:
    """How many of `found`, a set of `customer_id`, can be sent to; by the way that fits its size when that is known."""
    size = select(func.count()).select_from(found).scalar_subquery()
    ids: ColumnElement[Any] = func.array(
        select(found.c.customer_id).order_by(found.c.customer_id).scalar_subquery(), type_=ARRAY(Integer)
    )
    looked_up = active().where(col(Subscription.customer_id) == any_(ids)).distinct().subquery()
    hashed = select(func.count()).select_from(found).where(found.c.customer_id.in_(active()))
    few = select(func.count()).select_from(looked_up)
    return case((size <= _FEW, few.scalar_subquery()), else_=hashed.scalar_subquery())
