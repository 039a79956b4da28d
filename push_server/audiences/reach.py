"""Who can be sent to."""

from sqlalchemy import Select, select
from sqlmodel import col

from push_server.subscriptions.models import Subscription, SubscriptionState


def active() -> Select[int]:
    """The ids of customers with an active subscription, once for each, to be asked about customers of one site.

    Subscriptions are not asked for their site, so that an index alone answers.
    """
    return select(col(Subscription.customer_id)).where(col(Subscription.state) == SubscriptionState.ACTIVE)
