"""The ends of deliveries: what an answer of the push service makes of one, and the one write for many."""

import logging
import random
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Final

import psycopg
from msgspec import Struct
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from push_server import clock
from push_server.customers.changes import Kind, note, noting
from push_server.customers.identity import lock_site
from push_server.db import Database, SiteSession, array
from push_server.delivery.models import DeliveryState, Reason
from push_server.subscriptions.models import SubscriptionState
from push_server.webpush.response import Outcome, Verdict, retry_delay

log = logging.getLogger(__name__)

MAX_ATTEMPTS: Final = 16
"""Tries that a push service answered or let time out. With delays doubling up to an hour, that is about seven hours of
one that is down."""
WRITE_TRIES: Final = 8
"""A result that is not written is a message sent twice, so the database gets half a minute to come back."""
AWAY: Final = (psycopg.OperationalError, OperationalError, InterfaceError, PoolTimeout)
"""A database that does not answer, and may again."""

# `held` is looked up by id, row by row, whatever the planner takes the table for; see claim.py.
_SETTLE: Final = f"""
with settled as (
    update delivery d set state = u.state, reason = u.reason, status_code = u.status_code, due_at = u.due_at,
           retries = d.retries + (u.state = 'retry')::int,
           accepted_at = case when u.state = 'accepted' then %(now)s end, updated_at = %(now)s
    from unnest(%(ids)s::bigint[], %(attempts)s::int[], %(states)s::text[], %(reasons)s::text[],
                %(codes)s::int[], %(due)s::timestamptz[]) as u(id, attempts, state, reason, status_code, due_at)
    cross join lateral (
        select id from delivery where id = u.id and site_id = %(site)s and attempts = u.attempts
        and state in ('sending', 'queued') for update
    ) held
    where d.id = held.id
    returning d.customer_id, d.state
), accepted as (select customer_id from settled where state = 'accepted')
{noting("accepted", Kind.MESSAGE)}
"""  # noqa: S608 - no text from outside


class Settlement(Struct, frozen=True, gc=False):
    """What becomes of a delivery. `attempts` is the claim it was made under: a newer claim's result is not touched.

    `due_at`: when to try again; `retire`: the subscription that the push service says is gone. A struct, since it is
    made once for each message.
    """

    delivery_id: int
    attempts: int
    state: DeliveryState
    reason: Reason | None = None
    status_code: int | None = None
    due_at: datetime | None = None
    retire: int | None = None


def decide(
    delivery_id: int,
    subscription_id: int | None,
    attempts: int,
    retries: int,
    verdict: Verdict,
    status: int | None,
    *,
    now: datetime,
    expires_at: datetime,
    rng: random.Random,
) -> Settlement:
    """What a push service's verdict makes of a delivery under its `attempts`-th claim, after so many `retries`."""
    if verdict.outcome is Outcome.ACCEPTED:
        return Settlement(delivery_id, attempts, DeliveryState.ACCEPTED, None, status)

    def end(state: DeliveryState, reason: Reason | None = None, **more: object) -> Settlement:
        return Settlement(delivery_id, attempts, state, reason, status, **more)  # type: ignore[arg-type]

    match verdict.outcome:
        case Outcome.GONE:
            return end(DeliveryState.FAILED, Reason.GONE, retire=subscription_id)
        case Outcome.TOO_LARGE:
            return end(DeliveryState.FAILED, Reason.TOO_LARGE)
        case Outcome.KEY_REJECTED:
            return end(DeliveryState.FAILED, Reason.VAPID_REJECTED)
        case Outcome.RETRY | Outcome.THROTTLED if retries + 1 < MAX_ATTEMPTS:
            due_at = now + timedelta(seconds=retry_delay(retries + 1, verdict.retry_after, rng))
            if due_at >= expires_at:
                return end(DeliveryState.EXPIRED, Reason.TOO_LATE)
            return end(DeliveryState.RETRY, due_at=due_at)
        case _:
            return end(DeliveryState.FAILED, Reason.PUSH_SERVICE_ERROR)


def write(database: Database, site_id: int, settlements: Sequence[Settlement]) -> None:
    """Write the ends of many deliveries of a site in one transaction, whatever happens to the database meanwhile."""
    for attempt in range(1, WRITE_TRIES + 1):
        try:
            with database.session(site_id=site_id) as session:
                write_within(session, settlements)
            return
        except AWAY as error:
            if attempt == WRITE_TRIES:
                raise
            log.warning("results wait for the database: %s", str(error).strip().partition("\n")[0])
            time.sleep(min(0.1 * 2**attempt, 5.0))


def write_within(session: SiteSession, settlements: Sequence[Settlement]) -> None:
    """The same in a transaction that there is."""
    now = clock.now()
    settlements = sorted(settlements, key=attrgetter("delivery_id"))  # one order for all who lock deliveries
    # A merge moves deliveries, then subscriptions, holding this lock exclusively: so the two never deadlock.
    lock_site(session.raw, session.site_id)
    session.raw.execute(
        _SETTLE,
        {
            "site": session.site_id,
            "now": now,
            "ids": array(one.delivery_id for one in settlements),
            "attempts": array(one.attempts for one in settlements),
            "states": array(one.state for one in settlements),
            "reasons": array(one.reason for one in settlements),
            "codes": array(one.status_code for one in settlements),
            "due": array(one.due_at for one in settlements),
        },
        prepare=False,
    )
    gone = [one.retire for one in settlements if one.retire is not None]
    if gone:
        ended = session.raw.execute(
            """
            update subscription set state = %(gone)s, ended_at = %(now)s, updated_at = %(now)s
            where id in (select id from subscription where id = any(%(ids)s) and site_id = %(site)s
                         and state = 'active' order by id for update)
            returning customer_id
            """,
            {"gone": str(SubscriptionState.GONE), "now": now, "ids": gone, "site": session.site_id},
        )
        note(session.raw, session.site_id, [(customer, Kind.SUBSCRIPTION) for (customer,) in ended])
