"""Stopping a campaign's dispatches, and letting them go on.

The dispatch's row says whether its deliveries may be claimed and its audience be planned on; who is at work looks
there twice a second. So a stop is in force with its commit, however many rows there are.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import text
from sqlmodel import col, select

from push_server import clock, queue
from push_server.db import Database, SiteSession
from push_server.delivery.message import Message
from push_server.delivery.models import Dispatch, DispatchState
from push_server.delivery.service import INSTANT_WINDOW, PLAN_AGAIN, PLAN_JOB

EVERY: Final = 0.5
"""Seconds between two looks for deliveries of cancelled dispatches."""
AT_ONCE: Final = 5_000
"""Of those, how many a transaction ends: a tenth of a second, for which a worker's results may have to wait."""

# A delivery that is being sent keeps its worker's result; it is ended here only when that worker lost its lease.
_END = """
update delivery d set state = 'suppressed', reason = 'cancelled', due_at = null, updated_at = %(now)s
from (
    select row.id from dispatch p cross join lateral (
        select id from delivery where dispatch_id = p.id and {open} limit %(limit)s for update skip locked
    ) row
    where p.cancelled_at is not null and p.state <> 'done'
) ended
where d.id = ended.id
"""
_ENDS = (
    _END.format(open="state = 'queued'"),
    _END.format(open="state in ('sending', 'retry') and (state = 'retry' or due_at <= %(now)s)"),
)


@dataclass(frozen=True, slots=True)
class Tally:
    """Deliveries of the runs that were cancelled: accepted; with a push service at the moment; stopped, or about to be.

    `planned`: whether the whole audience had become deliveries before; the rest of it is in none of the counts.
    """

    sent: int
    in_flight: int
    stopped: int
    planned: bool


def pause(session: SiteSession, campaign_id: int) -> None:
    """Let nothing more of the campaign be planned or claimed, until `resume`."""
    for dispatch in _open(session, campaign_id):
        dispatch.paused_at = dispatch.paused_at or clock.now()
        session.add(dispatch)


def resume(session: SiteSession, campaign_id: int) -> None:
    """Let it go on: the planner at once, and the sweeper finds what is queued."""
    now = clock.now()
    for dispatch in _open(session, campaign_id):
        if dispatch.paused_at is None:
            continue
        dispatch.paused_at, dispatch.resumed_at = None, now
        session.add(dispatch)
        if dispatch.state == DispatchState.PLANNING:
            dispatch.due_at = now + PLAN_AGAIN
            queue.enqueue(session, queue.PLAN, PLAN_JOB, dispatch_id=dispatch.id)


def cancel(session: SiteSession, campaign_id: int) -> None:
    """Let nothing more of it be planned or claimed, ever. What is open is ended by `end_cancelled`, in its time."""
    for dispatch in _open(session, campaign_id):
        dispatch.cancelled_at = clock.now()
        dispatch.state = DispatchState.SENDING
        session.add(dispatch)
    session.flush()  # `tally` reads it


def is_running(session: SiteSession, campaign_id: int) -> bool:
    """Whether the campaign has a dispatch with open deliveries, or one that is being planned."""
    return bool(_open(session, campaign_id, lock=False))


def replace_message(session: SiteSession, campaign_id: int, message: dict[str, Any]) -> None:
    """What is not sent yet goes out with this message instead, and lives as long as that says."""
    for dispatch in _open(session, campaign_id):
        assert dispatch.created_at is not None
        dispatch.message, dispatch.message_class = message, message["message_class"]
        dispatch.at_most_once = message["at_most_once"]
        dispatch.priority = Message(**message).rank
        dispatch.expires_at = dispatch.created_at + timedelta(seconds=message["ttl"] or INSTANT_WINDOW)
        session.add(dispatch)


def forget(session: SiteSession, campaign_id: int) -> None:
    """Delete all that the campaign sent, which was tests."""
    session.sql(
        text("delete from dispatch where campaign_id = :campaign and site_id = :site"),
        {"campaign": campaign_id, "site": session.site_id},
    )


def tally(session: SiteSession, campaign_id: int) -> Tally:
    """What of a cancelled campaign's last runs was sent, and what was not."""
    row = session.sql(
        text(
            """
            select count(*) filter (where d.state = 'accepted') as sent,
                   count(*) filter (where d.state = 'sending') as in_flight,
                   count(*) filter (where d.state in ('queued', 'retry') or d.reason = 'cancelled') as stopped
            from dispatch p join delivery d on d.dispatch_id = p.id
            where p.campaign_id = :campaign and p.site_id = :site and p.cancelled_at is not null
            """
        ),
        {"campaign": campaign_id, "site": session.site_id},
    ).one()
    cut_off = select(Dispatch.id).where(Dispatch.campaign_id == campaign_id, col(Dispatch.cancelled_at).is_not(None))
    unplanned = cut_off.where(col(Dispatch.planned_at).is_(None))
    return Tally(row.sent, row.in_flight, row.stopped, session.exec(unplanned).first() is None)


def end_cancelled(database: Database) -> None:
    """End the open deliveries of cancelled dispatches, a batch a transaction; the scheduler repeats this."""
    for statement in _ENDS:
        while True:
            with database.session() as session:
                ended = session.raw.execute(statement, {"now": clock.now(), "limit": AT_ONCE}).rowcount
            if ended < AT_ONCE:
                break


def _open(session: SiteSession, campaign_id: int, *, lock: bool = True) -> list[Dispatch]:
    mine = select(Dispatch).where(Dispatch.campaign_id == campaign_id, col(Dispatch.is_test).is_(False))
    still_open = mine.where(Dispatch.state != DispatchState.DONE).order_by(col(Dispatch.id))
    return list(session.exec(still_open.with_for_update() if lock else still_open))
