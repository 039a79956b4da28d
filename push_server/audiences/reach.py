"""Who can be sent to."""

from sqlalchemy import ARRAY, ColumnElement, FromClause, Integer, Select, any_, case, cast, func, select
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
    """How many of `found`, one row with the `ids` of customers, can be sent to; by the way that fits so many."""
    ids = cast(select(found.c.ids).scalar_subquery(), ARRAY(Integer))
    looked_up = active().where(col(Subscription.customer_id) == any_(ids)).distinct().subquery()
    each = select(func.unnest(found.c.ids).label("customer_id")).subquery()
    hashed = select(func.count()).select_from(each).where(each.c.customer_id.in_(active()))
    few = select(func.count()).select_from(looked_up)
    return case((func.cardinality(found.c.ids) <= _FEW, few.scalar_subquery()), else_=hashed.scalar_subquery())
