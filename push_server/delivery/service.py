"""Starting a dispatch: one planned run of a message, which from here on goes its way through jobs."""

from datetime import datetime, timedelta
from typing import Any

from push_server import clock, queue
from push_server.db import SiteSession
from push_server.delivery.message import Message
from push_server.delivery.models import Dispatch
from push_server.settings import settings

INSTANT_WINDOW = 60
"""Seconds in which a message with TTL 0 ("now or never" for the push service) may still be posted."""
PLAN_AGAIN = timedelta(seconds=20)
"""After this long without a planned page, a planner is taken for dead and another one is started."""

PLAN_JOB = "push_server.delivery.jobs.plan"
SEND_JOB = "push_server.delivery.jobs.send"


def dispatch(
    session: SiteSession,
    campaign_id: int,
    include: list[int],
    exclude: list[int],
    message: dict[str, Any],
    *,
    at: datetime | None = None,
    is_test: bool = False,
    customer_ids: list[int] | None = None,
) -> Dispatch:
    """Write a dispatch and enqueue its planning, in the caller's transaction.

    `include`, `exclude`: internal segment ids. `message`: the frozen document, see `message.Message`; its `ttl`
    (seconds) counts from `at`, when it was due to start (None: now). `customer_ids`: these customers instead of
    segments, as tests do.
    """
    now = clock.now()
    at = at or now
    if customer_ids is not None:
        message = {**message, "customer_ids": customer_ids}
    row = Dispatch(
        campaign_id=campaign_id,
        is_test=is_test,
        include=include,
        exclude=exclude,
        message=message,
        created_at=at,
        due_at=now + PLAN_AGAIN,
        at_most_once=message["at_most_once"],
        message_class=message["message_class"],
        priority=Message(**message).rank,
        expires_at=at + timedelta(seconds=message["ttl"] or INSTANT_WINDOW),
    )
    session.add(row)
    session.flush()
    queue.enqueue(session, queue.PLAN, PLAN_JOB, dispatch_id=row.id)
    return row


def enqueue_sending(session: SiteSession, name: str, dispatch_id: int, ids: list[int], lapses: int = 0) -> None:
    """Put deliveries of a dispatch on the queue `name`, a chunk a job; chunks are small after `lapses` lost leases."""
    size = chunk_size(lapses)
    for start in range(0, len(ids), size):
        queue.enqueue(session, name, SEND_JOB, dispatch_id=dispatch_id, ids=ids[start : start + size])


def chunk_size(lapses: int) -> int:
    """How many deliveries go together after they lost their lease so many times.

    Once may be anybody's death. After that some row among them may have killed the worker, so they are split by 64
    each time, until that row is alone: a chunk of 2,000 takes two steps, and so it is 31 rows whose jobs hold one each.
    """
    return max(1, settings().chunk_size >> 6 * max(0, lapses - 1))
