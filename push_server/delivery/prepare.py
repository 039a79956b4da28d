"""What to do with a claimed delivery, decided without a network: a message to post, or why there is none."""

import math
from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from msgspec import Struct

from push_server import errors
from push_server.delivery import token
from push_server.delivery.local import QuietHours
from push_server.delivery.message import Composer, Message
from push_server.delivery.models import DeliveryState, Reason
from push_server.delivery.settle import Settlement
from push_server.delivery.slots import LATE
from push_server.delivery.variables import customer_variables, has_spent
from push_server.subscriptions.models import SubscriptionState
from push_server.webpush.encryption import MAX_PLAINTEXT, encrypt
from push_server.webpush.guard import check_endpoint
from push_server.webpush.message import PushMessage
from push_server.webpush.vapid import KeyPair, authorization


class Claimed(Struct, frozen=True, gc=False):
    """A delivery under our lease, with its subscription and customer as they are at this moment.

    `owner`: the customer whom the subscription belongs to now; `auth` sealed. All None when the rows are gone, and
    `attributes` also where no text of the message has a variable. A struct, since it is made once for each message.
    """

    id: int
    customer_id: int
    subscription_id: int | None
    variant: int
    attempts: int
    retries: int
    not_before: datetime | None
    expires_at: datetime
    endpoint: str | None
    p256dh: bytes | None
    auth: bytes | None
    vapid_key_id: int | None
    subscription_state: str | None
    owner: int | None
    snoozed_until: datetime | None
    external_id: str | None
    anonymous_id: str | None
    attributes: dict[str, object] | None
    time_zone: str | None


@dataclass(frozen=True, slots=True)
class Context:
    """What the deliveries of a chunk have in common. `keys`: the site's VAPID key pairs by id.

    `left`: customers who are in the audience no longer. `bought`: those who have what the message is about;
    `are_lowest`: whether prices are what it promises. `quiet`: the hours that the message keeps; `time_zone` is that
    of customers who have none. `points`: the variable of each customer, where some text
    or a guard needs it.
    """

    site_id: int
    contact: str
    message: Message
    composers: list[Composer]
    common: Mapping[str, Any]
    in_stock: bool
    are_lowest: bool
    bought: Set[int]
    keys: Mapping[int, KeyPair]
    left: Set[int]
    quiet: QuietHours | None
    time_zone: str
    points: Mapping[int, Mapping[str, object]]


def prepare(row: Claimed, context: Context, auth: bytes, now: datetime) -> PushMessage | Settlement:
    """The encrypted and signed message, or the delivery's end without one. `auth`: the opened secret.

    The truth is checked here, immediately before the message is made: whether the browser still is this customer's
    and subscribed, and wants messages now, whether he still is in the audience, the guards, the message's life.
    """
    refusal = _untrue(row, context, now)
    if refusal is not None:
        return refusal
    assert row.endpoint is not None
    assert row.p256dh is not None
    assert row.vapid_key_id is not None
    name = token.stable_name(row.id)
    composer = context.composers[row.variant]
    variables = {} if composer.is_static else _variables(row, context)
    body, faults = composer.compose(variables, token.issue(row.id, context.site_id), name)
    if faults:
        return _end(row, DeliveryState.SUPPRESSED, Reason.RENDER_ERROR)
    if len(body) > MAX_PLAINTEXT:
        return _end(row, DeliveryState.SUPPRESSED, Reason.TOO_LARGE)
    try:
        origin = check_endpoint(row.endpoint)
        encrypted = encrypt(body, row.p256dh, auth)
    except (errors.Invalid, ValueError):  # an address we no longer post to, a key that is none: never tried again
        return _end(row, DeliveryState.FAILED, Reason.PUSH_SERVICE_ERROR)
    return PushMessage(
        ref=row.id,
        endpoint=row.endpoint,
        body=encrypted,
        authorization=authorization(context.keys[row.vapid_key_id], origin, context.contact),
        ttl=remaining_ttl(context.message.ttl, row.expires_at, now),
        urgency=context.message.urgency,
        topic=context.message.topic or name,
        once=context.message.at_most_once,
    )


def remaining_ttl(ttl: int, expires_at: datetime, now: datetime) -> int:
    """Seconds that the push service may keep the message: what is left of its life."""
    return max(0, min(ttl, math.ceil((expires_at - now).total_seconds())))


def _variables(row: Claimed, context: Context) -> dict[str, Any]:
    person = customer_variables(row.external_id, row.anonymous_id, row.attributes, row.time_zone)
    return {**context.common, "customer": person, "points": context.points.get(row.customer_id, {})}


def _untrue(row: Claimed, context: Context, now: datetime) -> Settlement | None:
    if now >= row.expires_at:
        return _end(row, DeliveryState.EXPIRED, Reason.TOO_LATE)
    retired = row.vapid_key_id is not None and row.vapid_key_id not in context.keys  # while this chunk was claimed
    if row.subscription_state == SubscriptionState.GONE or retired:
        return _end(row, DeliveryState.SUPPRESSED, Reason.GONE)
    if row.subscription_state != SubscriptionState.ACTIVE or row.owner != row.customer_id:
        return _end(row, DeliveryState.SUPPRESSED, Reason.UNSUBSCRIBED)
    if row.snoozed_until is not None and now < row.snoozed_until:
        return _end(row, DeliveryState.SUPPRESSED, Reason.QUIET_HOURS)
    if row.customer_id in context.left or has_spent(context.message, context.points.get(row.customer_id, {})):
        return _end(row, DeliveryState.SUPPRESSED, Reason.LEFT_SEGMENT)
    if row.customer_id in context.bought:
        return _end(row, DeliveryState.SUPPRESSED, Reason.BOUGHT)
    if not context.in_stock:
        return _end(row, DeliveryState.SUPPRESSED, Reason.OUT_OF_STOCK)
    if not context.are_lowest:
        return _end(row, DeliveryState.SUPPRESSED, Reason.PRICE_GUARD)
    return _hushed(row, context, now)


def _hushed(row: Claimed, context: Context, now: datetime) -> Settlement | None:
    """What quiet hours make of it: nothing, its end, or another claim when they are over."""
    until = context.quiet.until(now, row.time_zone or context.time_zone) if context.quiet else None
    if until is None:
        return None
    if context.message.quiet_hours == "drop":
        return _end(row, DeliveryState.SUPPRESSED, Reason.QUIET_HOURS)
    if context.message.throttle_per_minute is not None and row.not_before is not None:
        # Its place is lost: it gets another one, past these quiet hours.
        return Settlement(row.id, row.attempts, DeliveryState.QUEUED, due_at=row.not_before - LATE)
    if until >= row.expires_at:
        return _end(row, DeliveryState.EXPIRED, Reason.TOO_LATE)
    return Settlement(row.id, row.attempts, DeliveryState.QUEUED, due_at=until)


def _end(row: Claimed, state: DeliveryState, reason: Reason) -> Settlement:
    return Settlement(row.id, row.attempts, state, reason)
