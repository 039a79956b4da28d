"""Opting in and out: one row per endpoint of a site, whoever posts it and however often."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import text
from sqlmodel import select

from push_server import clock, security
from push_server.customers.changes import Kind, note
from push_server.customers.identity import merge, resolve_customer
from push_server.db import SiteSession
from push_server.errors import Fault, Invalid, NotFound
from push_server.ids import uuid7
from push_server.subscriptions.models import Subscription, SubscriptionState


@dataclass(frozen=True, slots=True, kw_only=True)
class OptIn:
    """A subscription as a browser reports it. `topics` None: as they were."""

    endpoint: str
    p256dh: bytes
    auth: bytes
    application_server_key: bytes | None = None
    external_id: str | None = None
    anonymous_id: str | None = None
    previous_endpoint: str | None = None
    topics: list[str] | None = None
    browser: str | None = None
    locale: str | None = None
    time_zone: str | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """The subscription's outside id, and whether its endpoint was new."""

    id: UUID
    created: bool


_after_replacements: list[Callable[[psycopg.Connection[Any], int, int, int, int], None]] = []


def when_replaced(do: Callable[[psycopg.Connection[Any], int, int, int, int], None]) -> None:
    """From now on call this when a new row replaces another one, in that transaction: with connection, site, customer,
    and the ids of the former and the new subscription. For parts that hold something against a subscription.
    """
    _after_replacements.append(do)


def subscribe(session: SiteSession, given: OptIn) -> Stored:
    """Store or refresh a subscription, and make it active again if it had ended.

    A `previous_endpoint` is retired in the same transaction, so that one browser never counts twice; like
    `unsubscribe`, this trusts whoever knows an endpoint, since only its browser and we do.
    """
    customer_id = _customer(session, given)
    digests = [_digest(given.endpoint)] + ([_digest(given.previous_endpoint)] if given.previous_endpoint else [])
    held = {bytes(row.endpoint_hash): row for row in session.sql(_HELD, {"site": session.site_id, "digests": digests})}
    stored = held.get(digests[0])
    former = held.get(digests[1]) if len(digests) > 1 and digests[1] != digests[0] else None
    row = session.sql(
        _UPSERT,
        {
            "public_id": uuid7(),
            "site": session.site_id,
            "customer": customer_id,
            "endpoint": given.endpoint,
            "digest": digests[0],
            "p256dh": given.p256dh,
            "auth": security.seal(given.auth, "subscription.auth"),
            "vapid_key": _vapid_key(session, given, stored),
            "browser": given.browser,
            "locale": given.locale,
            "time_zone": given.time_zone,
            "topics": given.topics if given.topics is not None or former is None else former.topics,
            "snoozed_until": former.snoozed_until if former is not None else None,
            "now": clock.now(),
        },
    ).one()
    if former is not None:
        _end(session, digests[1], SubscriptionState.REPLACED)
        if row.created:
            for do in _after_replacements:
                do(session.raw, session.site_id, customer_id, former.id, row.id)
    if given.time_zone is not None:
        session.sql(
            _ZONE,
            {"zone": given.time_zone, "now": clock.now(), "site": session.site_id, "id": customer_id},
        )
    before = {held[digest].customer_id for digest in digests if digest in held}
    changes = [(customer, Kind.SUBSCRIPTION) for customer in (customer_id, *before)]
    if given.time_zone is not None:
        changes.append((customer_id, Kind.ATTRIBUTES))
    note(session.raw, session.site_id, changes)
    return Stored(row.public_id, row.created)


_ZONE = text(
    "update customer set time_zone = :zone, updated_at = :now"
    " where site_id = :site and id = :id and time_zone is distinct from :zone"
)
# In one order, so that two browsers' calls that name each other's rows wait instead of deadlocking.
_HELD = text(
    "select id, endpoint_hash, customer_id, p256dh, vapid_key_id, topics, snoozed_until from subscription"
    " where site_id = :site and endpoint_hash = any(:digests) order by endpoint_hash for update"
)
_END = text(
    "update subscription set state = :state, ended_at = :now, updated_at = :now"
    " where site_id = :site and endpoint_hash = :digest and state = 'active' returning customer_id"
)
_LINKED = text(
    "select 1 from customer_alias a join customer c on c.id = a.customer_id"
    " where a.site_id = :site and a.anonymous_id = :anonymous and c.external_id = :external"
)
# The lock keeps it from being retired before the subscription is stored.
_KEY = text(
    "select id from vapid_key where site_id = :site and retired_at is null"
    " and case when cast(:key as bytea) is not null then public_key = :key"
    "          when cast(:known as bigint) is not null then id = :known else active end for key share"
)
_UPSERT = text(
    """
    insert into subscription (public_id, site_id, customer_id, endpoint, endpoint_hash, p256dh, auth, vapid_key_id,
                              state, browser, locale, time_zone, topics, snoozed_until, created_at, updated_at)
    values (:public_id, :site, :customer, :endpoint, :digest, :p256dh, :auth, :vapid_key,
            'active', :browser, :locale, :time_zone, coalesce(cast(:topics as text[]), '{}'), :snoozed_until,
            :now, :now)
    on conflict (site_id, endpoint_hash) do update set
        customer_id = excluded.customer_id, p256dh = excluded.p256dh, auth = excluded.auth,
        vapid_key_id = excluded.vapid_key_id, state = 'active', ended_at = null, updated_at = excluded.updated_at,
        browser = coalesce(excluded.browser, subscription.browser),
        locale = coalesce(excluded.locale, subscription.locale),
        time_zone = coalesce(excluded.time_zone, subscription.time_zone),
        topics = coalesce(cast(:topics as text[]), subscription.topics),
        snoozed_until = case when subscription.state = 'active' then subscription.snoozed_until
                             else excluded.snoozed_until end
    returning id, public_id, xmax = 0 as created
    """
)


def unsubscribe(session: SiteSession, endpoint: str) -> None:
    """End the endpoint's subscription, if the site has it and it is active."""
    _end(session, _digest(endpoint), SubscriptionState.UNSUBSCRIBED)


def active_subscription(session: SiteSession, endpoint: str) -> Subscription:
    """The site's active subscription with this endpoint, for the transaction to change; 404 without one."""
    statement = select(Subscription).where(Subscription.endpoint_hash == _digest(endpoint)).with_for_update()
    found = session.exec(statement).first()
    if found is None or found.state != SubscriptionState.ACTIVE:
        raise NotFound(
            "There is no active subscription with this endpoint. Opt in first, by POST /v1/subscriptions.",
            code="no_such_subscription",
        )
    return found


def _digest(endpoint: str) -> bytes:
    return hashlib.sha256(endpoint.encode()).digest()


def _end(session: SiteSession, digest: bytes, state: SubscriptionState) -> None:
    ended = session.sql(
        _END,
        {"state": state, "now": clock.now(), "site": session.site_id, "digest": digest},
    )
    note(session.raw, session.site_id, [(customer, Kind.SUBSCRIPTION) for customer in ended.scalars()])


def _customer(session: SiteSession, given: OptIn) -> int:
    site_id, external_id, anonymous_id = session.site_id, given.external_id, given.anonymous_id
    if external_id is None and anonymous_id is None:  # a service worker that renews knows the former endpoint alone
        digests = [_digest(endpoint) for endpoint in (given.previous_endpoint, given.endpoint) if endpoint]
        for digest in digests:
            known = session.exec(select(Subscription.customer_id).where(Subscription.endpoint_hash == digest)).first()
            if known is not None:
                return known
        raise Invalid(
            "Say whose subscription it is: send anonymousId, or userId.",
            code="no_identity",
            faults=[Fault("$.anonymousId", "is needed where there is no userId", "no_identity")],
        )
    if external_id is not None and anonymous_id is not None and not _linked(session, external_id, anonymous_id):
        return merge(session.raw, site_id, anonymous_id, external_id)
    return resolve_customer(session.raw, site_id, external_id, anonymous_id)


def _linked(session: SiteSession, external_id: str, anonymous_id: str) -> bool:
    """Whether the two are one customer already: pages tell us at every load, and a merge locks the whole site."""
    names = {"site": session.site_id, "anonymous": anonymous_id, "external": external_id}
    return session.sql(_LINKED, names).first() is not None


def _vapid_key(session: SiteSession, given: OptIn, stored: Any) -> int:
    """The key that the browser subscribed with: as it says, else as we know it of old, else the active one."""
    asked = given.application_server_key
    known = stored.vapid_key_id if stored is not None and bytes(stored.p256dh) == given.p256dh else None
    key: int | None = session.sql(_KEY, {"site": session.site_id, "key": asked, "known": known}).scalar()
    if key is None:
        raise Invalid(
            "The subscription was made with a key that is none of this site's, or no longer. Subscribe with the one in "
            "/v1/sdk/config.",
            code="unknown_application_server_key",
            faults=[Fault("$.applicationServerKey", "is not in the site's key ring", "unknown_application_server_key")],
        )
    return key
