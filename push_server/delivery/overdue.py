"""Throttled deliveries that missed their places get the next free ones: after a pause, or after a scheduler was down,
a campaign goes on at its pace instead of making up for it at once.
"""

from typing import Final

from sqlmodel import select

from push_server import clock
from push_server.db import Database
from push_server.delivery.message import Message
from push_server.delivery.models import Dispatch, expires_at
from push_server.delivery.slots import LATE
from push_server.delivery.timing import plan_again

AT_ONCE: Final = 20_000
"""Deliveries that one transaction moves: half a second."""

OVERDUE: Final = f"""
    p.message ->> 'throttle_per_minute' is not null and delivery.state = 'queued'
    and delivery.due_at <= delivery.not_before and delivery.due_at < %(late)s
    and {expires_at("delivery", "p")} > %(now)s
"""
"""SQL of which deliveries of a dispatch `p` are meant: queued, without a job, and not at the end of their life."""

_DISPATCHES = f"""
select id from dispatch p where state <> 'done' and paused_at is null and cancelled_at is null
and exists (select 1 from delivery where dispatch_id = p.id and {OVERDUE}) order by id
"""  # noqa: S608 - no text from outside
_DELIVERIES = f"""
select delivery.id from delivery join dispatch p on p.id = delivery.dispatch_id
where p.id = %(dispatch)s and {OVERDUE} order by delivery.due_at, delivery.id limit %(limit)s
for update of delivery skip locked
"""  # noqa: S608 - no text from outside


def plan_overdue(database: Database) -> None:
    """Move what is overdue, each dispatch in a transaction of its own; one whose row is in use has its turn later."""
    now = clock.now()
    about = {"now": now, "late": now - LATE, "limit": AT_ONCE}
    with database.session() as session:
        ids = [id for (id,) in session.raw.execute(_DISPATCHES, about)]
    for dispatch_id in ids:
        with database.session() as session:
            dispatch = session.exec(
                select(Dispatch)
                .where(Dispatch.id == dispatch_id)
                .with_for_update(skip_locked=True)
                .execution_options(all_sites=True)
            ).one_or_none()
            if dispatch is None:
                continue
            session.bind_site(dispatch.site_id)
            deliveries = [id for (id,) in session.raw.execute(_DELIVERIES, {**about, "dispatch": dispatch_id})]
            plan_again(session, dispatch, Message(**dispatch.message), deliveries)  # type: ignore[arg-type]
            session.add(dispatch)
