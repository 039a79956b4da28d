"""Who can be sent to."""

from sqlalchemy import Select, select
from sqlmodel import col

from push_server.db import SiteSession
from push_server.subscriptions.models import Subscription, SubscriptionState


def active(session: SiteSession) -> Select[int]:
    """The ids of the site's customers with an active subscription, once for each."""
    return select(col(Subscription.customer_id)).where(
        col(Subscription.site_id) == session.site_id, col(Subscription.state) == SubscriptionState.ACTIVE
    )
