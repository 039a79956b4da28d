"""A segment's members found over all customers, by one statement: at first, and where that is the cheaper way."""

import time
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, ColumnElement, cast, false, func, literal, or_, select, true, union_all
from sqlmodel import col
from sqlmodel import select as select_rows

from push_server.audiences.borders import borders_for, leaves_of
from push_server.audiences.models import Backfill, Segment, SegmentState, membership_change, segment_member
from push_server.audiences.rules import SiteRules, evaluation
from push_server.db import Instant, SiteSession
from push_server.subscriptions.models import Subscription, SubscriptionState


def evaluate(session: SiteSession, segment: Segment, at: datetime, seconds: float | None = None) -> None:
    """Write the segment's members at `at` and who came and went; 422 when it takes longer than `seconds`.

    The caller holds the site's membership lock.
    """
    assert segment.id is not None
    began = time.perf_counter()
    rules = SiteRules(session)
    borders = borders_for(session, rules, leaves_of(rules, segment), at, seconds)
    found = rules.members(rules.parse(segment.rule), at, borders)
    with evaluation(session, seconds):
        _write_difference(session, segment.id, found, at)
        _mark_reachable(session, segment.id)
        segment.size, segment.reachable = count_members(session, segment.id)
    segment.fresh_at, segment.is_due, segment.state = at, False, SegmentState.READY
    segment.rule_since = segment.rule_since or at
    segment.whole_ms = round((time.perf_counter() - began) * 1000)
    session.add(segment)
    session.flush()


def due_segments(session: SiteSession) -> list[Segment]:
    """The site's segments that wait for it, the quickest first; those that have never been evaluated come last.

    Those that the background is at are left to it.
    """
    in_background = select_rows(Backfill.id).where(Backfill.segment_id == Segment.id).exists()
    is_due = or_(col(Segment.is_due), col(Segment.state) == SegmentState.PENDING)
    waiting = select_rows(Segment).where(is_due, ~in_background)
    ordered = waiting.order_by(col(Segment.whole_ms).nulls_last(), col(Segment.id))
    return list(session.exec(ordered.execution_options(populate_existing=True)))


def _write_difference(session: SiteSession, segment_id: int, found: Any, at: datetime) -> None:
    """One statement, so that who goes and who comes are seen at one moment."""
    stored, was, now_in = segment_member, segment_member.alias(), found.cte("now_in")
    mine, instant = literal(segment_id, BigInteger), literal(at, Instant)
    stays = select(now_in).where(now_in.c.customer_id == stored.c.customer_id).exists()
    gone = stored.delete().where(stored.c.segment_id == segment_id, ~stays).returning(stored.c.customer_id).cte("gone")
    known = select(was).where(was.c.segment_id == segment_id, was.c.customer_id == now_in.c.customer_id).exists()
    new = select(mine, now_in.c.customer_id, instant, _is_reachable(now_in.c.customer_id)).where(~known)
    columns = ["segment_id", "customer_id", "since", "reachable"]
    come = stored.insert().from_select(columns, new).returning(stored.c.customer_id).cte("come")
    changes = union_all(
        select(mine, gone.c.customer_id, instant, false()), select(mine, come.c.customer_id, instant, true())
    )
    columns = ["segment_id", "customer_id", "at", "entered"]
    told = membership_change.insert().from_select(columns, changes).cte("told")
    session.sql(select(func.count()).select_from(now_in).add_cte(gone, come, told))


def count_members(session: SiteSession, segment_id: int) -> tuple[int, int]:
    """How many are stored, and how many of them can be reached."""
    member = segment_member.c
    counted = select(func.count(), func.count().filter(member.reachable)).where(member.segment_id == segment_id)
    size, reachable = session.sql(counted).one()
    return size, reachable


def _mark_reachable(session: SiteSession, segment_id: int) -> None:
    """Who has an active subscription, of all members."""
    mine, reachable = segment_member.c.segment_id == segment_id, segment_member.c.reachable
    now = _is_reachable(segment_member.c.customer_id)
    session.sql(segment_member.update().where(mine, reachable != now).values(reachable=~reachable))


def _is_reachable(customer: ColumnElement[Any]) -> ColumnElement[bool]:
    active = col(Subscription.state) == SubscriptionState.ACTIVE
    return cast(select(col(Subscription.id)).where(col(Subscription.customer_id) == customer, active).exists(), Boolean)
