"""Planning a dispatch: audience → delivery rows, by keyset pages, and a sending job for each chunk of them.

Each page is one transaction: its rows, the jobs of its chunks (by the outbox) and the checkpoint `planned_to` are
committed together. So a planner that dies loses nothing but the page in hand, and its successor goes on from there;
two planners at once take turns by the lock on the dispatch's row.
"""

import logging
from datetime import datetime, timedelta
from typing import Final

from sqlmodel import col, select

from push_server import clock, queue
from push_server.audiences.service import members_page
from push_server.customers.identity import lock_site
from push_server.customers.models import Customer
from push_server.db import Database, SiteSession, array
from push_server.delivery.assignment import is_held_out, is_held_out_of_site, is_trying, variant_of
from push_server.delivery.audience import freshen, unready
from push_server.delivery.experiments import held_until
from push_server.delivery.message import Message
from push_server.delivery.models import Dispatch, DispatchState
from push_server.delivery.service import PLAN_AGAIN, enqueue_sending
from push_server.delivery.timing import is_timed, plan_times
from push_server.settings import settings
from push_server.sites.caps import TRANSACTIONAL
from push_server.sites.holdout import holdout_of
from push_server.sites.models import Site

log = logging.getLogger(__name__)

CHUNKS_A_PAGE: Final = 5
LOOK_AGAIN: Final = timedelta(seconds=1)
"""How long a dispatch waits at a time while members of its segments are being found."""
SWEEP_AFTER: Final = timedelta(seconds=20)
"""How long a queued delivery may wait before its job is taken for lost; see sweep.py."""

# A subscription that moves to another customer while a dispatch is planned is met twice: the second time is no row.
_ROWS = """
insert into delivery (
    site_id, dispatch_id, customer_id, subscription_id, variant, state, reason, not_before, due_at, updated_at
)
select %(site)s, %(dispatch)s, m.customer_id, s.id, m.variant,
       case when s.id is null or m.held_out then 'suppressed' else 'queued' end,
       case when s.id is null then 'no_subscription' when m.held_out then 'holdout' end,
       m.not_before, case when s.id is not null and not m.held_out then coalesce(m.not_before, %(due)s) end, %(now)s
from unnest(%(customers)s::int[], %(variants)s::int[], %(held_out)s::bool[], %(not_before)s::timestamptz[])
    as m(customer_id, variant, held_out, not_before)
left join subscription s on s.customer_id = m.customer_id and s.state = 'active' and s.site_id = %(site)s
    and (not %(latest)s or s.id = (
        select id from subscription where customer_id = m.customer_id and state = 'active' and site_id = %(site)s
        order by updated_at desc, id desc limit 1))
order by m.customer_id, s.id
on conflict (dispatch_id, subscription_id) do nothing
returning id, state, not_before
"""


def plan(database: Database, dispatch_id: int) -> None:
    """Plan the rest of a dispatch; nothing to do when it is planned or paused, or when another planner is at it."""
    while True:
        with database.session() as session:
            dispatch = session.exec(
                select(Dispatch)
                .where(Dispatch.id == dispatch_id, Dispatch.state == DispatchState.PLANNING)
                .where(col(Dispatch.paused_at).is_(None))
                .with_for_update(skip_locked=True)
                .execution_options(all_sites=True)
            ).one_or_none()
            if dispatch is None:
                return
            session.bind_site(dispatch.site_id)
            if not _plan_page(session, dispatch):
                return


def _waits(session: SiteSession, dispatch: Dispatch) -> bool:
    """Whether its audience is not known yet; then the sweeper has it planned a little later."""
    if dispatch.planned_to is None and dispatch.include:
        freshen(session)
    missing = unready(session, dispatch)
    if missing:
        dispatch.due_at = clock.now() + LOOK_AGAIN
        session.add(dispatch)
        log.info("dispatch %s waits for the members of segment %s", dispatch.id, missing[0].public_id)
    return bool(missing)


def _plan_page(session: SiteSession, dispatch: Dispatch) -> bool:
    """Whether there was a page to plan, and not an audience to wait for."""
    if _waits(session, dispatch):
        return False
    message = Message(**dispatch.message)  # type: ignore[arg-type]
    lock_site(session.raw, session.site_id)  # no customer is merged away between being read and being written
    customers = _members(session, dispatch, message)
    if customers:
        dispatch.planned_to = customers[-1]
        dispatch.due_at = clock.now() + PLAN_AGAIN
        ids = _write_rows(session, dispatch, message, customers)
        assert dispatch.id is not None
        if is_timed(message) and not dispatch.is_test:
            plan_times(session, dispatch, message, ids)  # the sweeper puts each on the queue when it is due
        else:
            enqueue_sending(session, queue.SEND, dispatch.id, ids)
    else:
        dispatch.state, dispatch.planned_at = DispatchState.SENDING, clock.now()
    session.add(dispatch)
    return bool(customers)


def _members(session: SiteSession, dispatch: Dispatch, message: Message) -> list[int]:
    """The next page of customers, ascending; empty after the last."""
    if message.customer_ids is not None:
        there = select(Customer.id).where(col(Customer.id).in_(message.customer_ids)).order_by(col(Customer.id))
        return [id for id in session.exec(there) if id is not None] if dispatch.planned_to is None else []
    limit = settings().chunk_size * CHUNKS_A_PAGE
    return members_page(session, dispatch.include, dispatch.exclude, dispatch.planned_to, limit)


def _write_rows(session: SiteSession, dispatch: Dispatch, message: Message, customers: list[int]) -> list[int]:
    """The page's rows: one per active subscription, one for each customer without any; ids of those to be sent."""
    now = clock.now()
    given = [_given(dispatch, message, customer, now) for customer in customers]
    rows = session.raw.execute(
        _ROWS,
        {
            "site": session.site_id,
            "dispatch": dispatch.id,
            "customers": array(customers),
            "variants": array(variant for variant, _not_before in given),
            "not_before": array(not_before for _variant, not_before in given),
            "held_out": array(_held_out(session, dispatch, message, customers)),
            "latest": message.latest_device,
            "due": now + SWEEP_AFTER,
            "now": now,
        },
    )
    return [id for id, state, not_before in rows if state == "queued" and not_before is None]


def _given(dispatch: Dispatch, message: Message, customer: int, now: datetime) -> tuple[int, datetime | None]:
    """The customer's variant, and what he is planned for if that is not at once."""
    if message.variant is not None:
        return message.variant, None
    variant = variant_of(dispatch.campaign_id, customer, message.weights)
    experiment = None if dispatch.is_test else message.experiment
    if experiment is None or is_trying(dispatch.campaign_id, customer, experiment["percent"]):
        return variant, None
    return (variant, held_until(dispatch)) if dispatch.winner is None else (dispatch.winner, now)


def _held_out(session: SiteSession, dispatch: Dispatch, message: Message, customers: list[int]) -> list[bool]:
    """For each customer whether he gets nothing, be it of this campaign or of any of the site's."""
    if dispatch.is_test:
        return [False] * len(customers)
    campaign, percent = dispatch.campaign_id, message.holdout_percent
    everywhere = holdout_of(session.get_one(Site, session.site_id)) if message.message_class != TRANSACTIONAL else 0
    return [
        (percent > 0 and is_held_out(campaign, customer, percent))
        or (everywhere > 0 and is_held_out_of_site(session.site_id, customer, everywhere))
        for customer in customers
    ]
