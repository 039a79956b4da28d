"""Taking deliveries under a lease, and keeping it: nobody else posts what a living worker holds."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from operator import attrgetter
from typing import Final

from psycopg.rows import class_row
from sqlmodel import col, select

from push_server import clock, security
from push_server.db import SiteSession, array
from push_server.delivery.audience import freshen, left
from push_server.delivery.caps import keep_caps, lock_caps
from push_server.delivery.guards import are_lowest, bought
from push_server.delivery.message import Composer, Message, names
from push_server.delivery.models import Dispatch, expires_at
from push_server.delivery.prepare import Claimed, Context
from push_server.delivery.timing import quiet_hours
from push_server.delivery.variables import all_in_stock, common_variables, guarded_products, points_variables
from push_server.settings import settings
from push_server.sites.caps import Cap, caps_of
from push_server.sites.models import Site, VapidKey
from push_server.webpush.vapid import KeyPair

LEASE: Final = timedelta(seconds=30)
RENEW_AFTER: Final = 10.0
"""Seconds. A request is given up after 10, so a lease is renewed with 10 to spare."""

_CLAIMED = "d.id, d.customer_id, d.subscription_id, d.variant, d.attempts, d.retries, d.not_before"
_FACTS = f"""
select c.id, c.customer_id, c.subscription_id, c.variant, c.attempts, c.retries, c.not_before,
       {expires_at("c", "r")} as expires_at, s.endpoint, s.p256dh, s.auth, s.vapid_key_id,
       s.state as subscription_state, s.customer_id as owner, s.snoozed_until, p.external_id,
       p.anonymous_id, case when %(personal)s then p.attributes end as attributes, p.time_zone
from claimed c join dispatch r on r.id = %(dispatch)s
left join subscription s on s.id = c.subscription_id and s.site_id = %(site)s
left join customer p on p.id = c.customer_id and p.site_id = %(site)s
order by c.id
"""  # noqa: S608 - no text from outside
# What is asked of `free` and not of `d` holds as well, since its rows are locked, and leaves the planner one way to
# `d`: by id. Any other takes longer the larger the dispatch is, and is chosen while a table has no statistics yet.
# The last number of `attempts`, a smallint, is followed by 1: a message may wait for weeks, and it has but to tell one
# claim from the one before.
_CLAIM = f"""
with free as materialized (
    select id, dispatch_id, state, not_before from delivery
    where id = any(%(ids)s::bigint[]) and site_id = %(site)s
    order by id for update skip locked
), claimed as (
    update delivery d set
        state = 'sending', attempts = d.attempts %% 32767 + 1, due_at = %(until)s, updated_at = %(now)s
    from free
    where d.id = free.id and d.site_id = %(site)s and free.dispatch_id = %(dispatch)s and free.state = 'queued'
        and (free.not_before is null or free.not_before <= %(now)s)
    returning {_CLAIMED}
)
{_FACTS}
"""  # noqa: S608 - no text from outside
_RENEW = f"""
with claimed as (
    update delivery d set state = 'sending', due_at = %(until)s, updated_at = %(now)s
    from unnest(%(ids)s::bigint[], %(attempts)s::int[]) as u(id, attempts)
    cross join lateral (
        select id from delivery where id = u.id and site_id = %(site)s and attempts = u.attempts
        and state in ('sending', 'queued') for update
    ) held
    where d.id = held.id
    returning {_CLAIMED}
)
{_FACTS}
"""  # noqa: S608 - no text from outside


@dataclass(frozen=True, slots=True)
class Chunk:
    """Deliveries claimed together, and what they have in common."""

    dispatch_id: int
    resumed_at: datetime | None
    rows: list[Claimed]
    context: Context


def look_again(session: SiteSession, dispatch_id: int) -> None:
    """Bring the audience up to now, so that `claim` sees who has left it since the dispatch was planned.

    A transaction of its own, because it locks segments, for which other workers would wait.
    """
    dispatch = _running(session, dispatch_id)
    if dispatch is not None:
        freshen(session)


def claim(session: SiteSession, dispatch_id: int, ids: list[int]) -> Chunk | None:
    """Claim those of the ids that are queued, and load everything that sending them takes. None: there are none, or
    the dispatch is paused or cancelled.

    Each claim counts up `attempts`, by which its results are known from those of an older claim.
    """
    dispatch = _running(session, dispatch_id)
    if dispatch is None:
        return None
    message = Message(**dispatch.message)  # type: ignore[arg-type]
    composers = [Composer(notification, settings().public_url) for notification in message.notifications]
    caps = _caps(session.get_one(Site, dispatch.site_id), dispatch)
    if caps:
        lock_caps(session, ids)
    now = clock.now()
    asked = {
        "ids": array(ids),
        "dispatch": dispatch_id,
        "site": dispatch.site_id,
        "now": now,
        "until": now + LEASE,
        "personal": not all(composer.is_static for composer in composers),
    }
    with session.raw.cursor(row_factory=class_row(Claimed)) as cursor:
        rows = cursor.execute(
            _CLAIM,
            asked,
            prepare=False,  # a plan that is kept was made while the table was smaller
            binary=True,  # a third of the time, at both ends
        ).fetchall()
    if rows and caps:
        rows = keep_caps(session, caps, dispatch, rows, now)
    if not rows:
        return None
    context = _context(session, dispatch, message, composers, [row.customer_id for row in rows])
    return Chunk(dispatch_id, dispatch.resumed_at, rows, context)


def _caps(site: Site, dispatch: Dispatch) -> list[Cap]:
    """The site's caps that limit the dispatch's messages."""
    if dispatch.is_test or dispatch.priority is None:
        return []
    return [cap for cap in caps_of(site) if cap.concerns(dispatch.message_class)]


def is_stopped(session: SiteSession, dispatch_id: int, since: datetime | None) -> bool:
    """Whether a dispatch whose deliveries are being sent was paused or cancelled meanwhile.

    `since`: when it was last resumed as they were claimed. Resumed again means paused meanwhile, and maybe changed.
    """
    asked = "select paused_at, resumed_at, cancelled_at from dispatch where id = %s and site_id = %s"
    row = session.raw.execute(asked, [dispatch_id, session.site_id]).fetchone()
    return row != (None, since, None)


def _running(session: SiteSession, dispatch_id: int) -> Dispatch | None:
    statement = (
        select(Dispatch)
        .where(Dispatch.id == dispatch_id, col(Dispatch.paused_at).is_(None), col(Dispatch.cancelled_at).is_(None))
        .execution_options(all_sites=True)
    )
    dispatch = session.exec(statement).one_or_none()
    if dispatch is not None:
        session.bind_site(dispatch.site_id)
    return dispatch


def renew(session: SiteSession, chunk: Chunk, rows: Iterable[Claimed]) -> Chunk:
    """Prolong the lease of these deliveries of the chunk, and load what sending them takes as it is now.

    Those of the chunk that comes back are still held; the others were taken over meanwhile.
    """
    held, now, context = sorted(rows, key=attrgetter("id")), clock.now(), chunk.context
    asked = {
        "ids": array(row.id for row in held),
        "attempts": array(row.attempts for row in held),
        "dispatch": chunk.dispatch_id,
        "site": session.site_id,
        "now": now,
        "until": now + LEASE,
        "personal": not all(composer.is_static for composer in context.composers),
    }
    with session.raw.cursor(row_factory=class_row(Claimed)) as cursor:
        found = cursor.execute(_RENEW, asked, prepare=False, binary=True).fetchall()
    dispatch = session.exec(select(Dispatch).where(Dispatch.id == chunk.dispatch_id)).one()
    customers = [row.customer_id for row in found]
    context = _context(session, dispatch, context.message, context.composers, customers)
    return Chunk(chunk.dispatch_id, chunk.resumed_at, found, context)


def _context(
    session: SiteSession, dispatch: Dispatch, message: Message, composers: list[Composer], customers: list[int]
) -> Context:
    site = session.get_one(Site, dispatch.site_id)
    products = guarded_products(session, message.in_stock)
    keys = session.exec(select(VapidKey)).all()
    return Context(
        site_id=dispatch.site_id,
        contact=site.contact,
        message=message,
        composers=composers,
        common=common_variables(site, products),
        in_stock=all_in_stock(products, message.in_stock),
        are_lowest=not message.lowest_price_30d or are_lowest(session, message.in_stock),
        bought=_bought(session, dispatch, message, customers),
        keys={key.id: _open(key.public_key, key.private_key) for key in keys if key.id and key.private_key},
        left=left(session, dispatch, customers),
        quiet=quiet_hours(site, message, is_test=dispatch.is_test),
        time_zone=site.time_zone,
        points=points_variables(session, site, customers, clock.now())
        if message.points_at_least is not None or names(message.notifications, "points")
        else {},
    )


def _bought(session: SiteSession, dispatch: Dispatch, message: Message, customers: list[int]) -> set[int]:
    if message.not_bought is None:
        return set()
    assert dispatch.created_at is not None
    products = None if message.not_bought is True else message.not_bought
    return bought(session, customers, products, dispatch.created_at)


@lru_cache(maxsize=256)
def _open(public_key: bytes, sealed: bytes) -> KeyPair:
    return KeyPair(public_key, security.unseal(sealed, "vapid.private_key"))
