"""What RQ workers run. The arguments are JSON; what is to be done stands in PostgreSQL."""

from push_server.db import database
from push_server.delivery.plan import plan as plan_dispatch
from push_server.delivery.send import send as send_chunk


def plan(dispatch_id: int) -> None:
    """Write a dispatch's delivery rows, page by page, and enqueue their sending."""
    plan_dispatch(database(), dispatch_id)


def send(dispatch_id: int, ids: list[int]) -> None:
    """Send those of the deliveries that are queued."""
    send_chunk(database(), dispatch_id, ids)
