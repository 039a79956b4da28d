"""The VAPID key ring in use: how many subscriptions each key still has, and the end of a key.

A subscription is bound to the key it was made with (RFC 8292 §4), so a new key reaches a browser only when its page
subscribes anew, at its next visit. Until then the old key is needed.
"""

from dataclasses import dataclass

from sqlalchemy import func, text
from sqlmodel import col, select

from push_server import clock, security
from push_server.customers.changes import Kind, note
from push_server.customers.identity import lock_site
from push_server.db import SiteSession
from push_server.errors import Conflict, NotFound
from push_server.sites.models import VapidKey
from push_server.subscriptions.models import Subscription, SubscriptionState


@dataclass(frozen=True, slots=True)
class InUse:
    """A key of the ring, and how many active subscriptions were made with it."""

    key: VapidKey
    subscriptions: int


def ring(session: SiteSession) -> list[InUse]:
    """The session's site's keys, newest first, the retired ones too."""
    counted = (
        select(Subscription.vapid_key_id, func.count())
        .where(Subscription.state == SubscriptionState.ACTIVE)
        .group_by(col(Subscription.vapid_key_id))
    )
    numbers = dict(session.exec(counted).all())
    keys = session.exec(select(VapidKey).order_by(col(VapidKey.id).desc()))
    return [InUse(key, numbers.get(key.id or 0, 0)) for key in keys]


def retire(session: SiteSession, public_key: str, lose: int) -> int:
    """Destroy a former key, named in base64url, and end its active subscriptions, at most `lose`; returns how many.

    They end as gone. Again is fine. 404 for a key that is not in the ring; 409 for the active one, and for one that
    more than `lose` subscriptions still need.
    """
    key = _find(session, public_key)
    if key.active:
        raise Conflict(
            "This is the active key: new subscriptions are made with it. Make a new one first.", code="vapid_key_active"
        )
    lost = _end_subscriptions(session, key, lose)
    # Only now, since who stores a subscription locks its row first and the key second. What came in between is seen.
    session.refresh(key, with_for_update=True)
    _refuse_loss(session, key, 0)
    if key.retired_at is None:
        key.retired_at, key.private_key = clock.now(), None
        session.add(key)
    return lost


def _find(session: SiteSession, public_key: str) -> VapidKey:
    try:
        key = session.exec(select(VapidKey).where(VapidKey.public_key == security.unb64url(public_key))).one_or_none()
    except ValueError:  # no base64url
        key = None
    if key is None:
        raise NotFound("There is no VAPID key like this in the ring.", code="no_such_vapid_key")
    return key


def _refuse_loss(session: SiteSession, key: VapidKey, lose: int) -> None:
    using = session.exec(
        select(func.count())
        .select_from(Subscription)
        .where(Subscription.vapid_key_id == key.id, Subscription.state == SubscriptionState.ACTIVE)
    ).one()
    if using > lose:
        raise Conflict(
            f"{using} active subscriptions were made with this key and would be lost: no other key can reach them. "
            "They move to the active one as their owners visit. To lose those that are left, repeat with "
            f"lose_subscriptions={using}.",
            code="vapid_key_in_use",
        )


_END = text(
    """
    update subscription set state = 'gone', ended_at = :now, updated_at = :now
    where id in (select id from subscription where vapid_key_id = :key and site_id = :site and state = 'active'
                 order by id for update)
    returning customer_id
    """
)


def _end_subscriptions(session: SiteSession, key: VapidKey, lose: int) -> int:
    _refuse_loss(session, key, lose)
    lock_site(session.raw, session.site_id)  # as whoever ends subscriptions: a merge moves them meanwhile
    ended = session.sql(_END, {"now": clock.now(), "key": key.id, "site": session.site_id}).scalars().all()
    note(session.raw, session.site_id, [(customer, Kind.SUBSCRIPTION) for customer in ended])
    return len(ended)
