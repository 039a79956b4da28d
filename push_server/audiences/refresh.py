"""Bringing a segment's stored members up to date: evaluate the rule, write the difference."""

from datetime import datetime, timedelta

from sqlalchemy import func, literal, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from push_server import clock
from push_server.audiences.models import Segment, SegmentState, segment_member
from push_server.customers.models import Customer
from push_server.db import SiteSession

FRESH = timedelta(seconds=1)


def refresh(session: SiteSession, segment_id: int, at: datetime | None = None) -> None:
    """Bring one segment's members to instant `at` (now), unless they are fresh enough already."""
    session.sql(text("select pg_advisory_xact_lock(7301, hashint8(:id))"), {"id": segment_id})
    segment = session.get_one(Segment, segment_id, populate_existing=True)
    at = at or clock.now()
    if segment.fresh_at is not None and at - segment.fresh_at < FRESH:
        return
    members = select(col(Customer.id).label("customer_id")).where(col(Customer.site_id) == segment.site_id).subquery()
    stored = segment_member
    fresh = select(literal(segment_id), members.c.customer_id, literal(at))
    session.sql(insert(stored).from_select(["segment_id", "customer_id", "since"], fresh).on_conflict_do_nothing())
    session.sql(
        stored.delete().where(
            stored.c.segment_id == segment_id, stored.c.customer_id.not_in(select(members.c.customer_id))
        )
    )
    count = select(func.count()).select_from(stored).where(stored.c.segment_id == segment_id)
    segment.size = session.sql(count).scalar_one()
    segment.fresh_at = at
    segment.state = SegmentState.READY
    session.add(segment)
    session.flush()
