"""Segments: making, editing and deleting them, and their members for those who send to them."""

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import select, text
from sqlmodel import col
from sqlmodel import select as select_rows

import segments
from push_server import clock
from push_server.audiences.models import Segment, SegmentState, segment_member
from push_server.audiences.refresh import bring_up_to_date
from push_server.audiences.rules import SiteRules, read_uuid
from push_server.audiences.step import lock_memberships
from push_server.audiences.waiting import backfills, begin, check_ready, end
from push_server.audiences.whole import evaluate
from push_server.customers.models import Customer
from push_server.db import SiteSession, array, database
from push_server.errors import Conflict, Fault, Invalid, NotFound
from push_server.settings import settings

AT_ONCE = 1.0
"""Seconds in which the members are found before a new or edited segment is answered; if not, in the background.

Others' members wait for it.
"""


class MemberRow(NamedTuple):
    """A member, and since when he is one."""

    customer_id: int
    external_id: str | None
    anonymous_id: str | None
    since: datetime


def create_segment(session: SiteSession, name: str, rule: Any) -> Segment:
    """Store a rule under a name and find its members; 422 with every fault of the rule."""
    _lock_edits(session)
    SiteRules(session).parse(rule)
    segment = Segment(name=name, rule=rule, is_due=True)
    session.add(segment)
    session.flush()
    _evaluate_soon(session, [segment])
    return segment


def change_segment(session: SiteSession, public_id: str, changes: dict[str, Any]) -> Segment:
    """Change `name`, `rule` or both. Members who stay keep their `since`."""
    _lock_edits(session)
    segment = find_segment(session, public_id)
    segment.name = changes.get("name", segment.name)
    if "rule" in changes:
        SiteRules(session, own_id=segment.public_id).parse(changes["rule"])
        segment.rule, segment.rule_since = changes["rule"], None
    segment.updated_at = clock.now()
    session.add(segment)
    session.flush()
    if "rule" in changes:
        dependants = _check_dependants(session, segment)
        _evaluate_soon(session, [segment, *dependants])
    return segment


def retry_segment(session: SiteSession, public_id: str) -> Segment:
    """Have members that could not be found looked for again at once; where nothing went wrong, nothing changes."""
    _lock_edits(session)
    segment = find_segment(session, public_id)
    backfill = backfills(session, [segment]).get(segment.id or 0)
    if backfill is not None and backfill.problem is not None:
        if segment.state == SegmentState.FAILED:
            segment.state = SegmentState.PENDING
        begin(session, segment)
    return segment


def delete_segment(session: SiteSession, public_id: str) -> None:
    """Delete a segment; 409 while another one names it, or a campaign that is still to start."""
    _lock_edits(session)
    segment = find_segment(session, public_id)
    users = [user.name for user in _naming(session, segment)]
    if users:
        listed = ", ".join(f"“{name}”" for name in users[:5])
        raise Conflict(
            f"Other segments are made of this one: {listed}. Change or delete those first.", code="segment_in_use"
        )
    # The planner, which stands above this folder, reads its segments by these ids.
    being_planned = session.sql(
        text(
            "select exists (select 1 from dispatch where site_id = :site and state = 'planning'"
            " and :id = any(include || exclude))"
        ),
        {"site": session.site_id, "id": segment.id},
    )
    if being_planned.scalar_one():
        raise Conflict("A campaign is being planned with this segment; try again in a moment.", code="segment_in_use")
    waiting = session.sql(
        text(
            "select name from campaign where site_id = :site and next_at is not null"
            " and position(:id in replace(lower(document ->> 'audience'), '-', '')) > 0 order by id limit 5"
        ),
        {"site": session.site_id, "id": segment.public_id.hex},
    ).scalars()
    if listed := ", ".join(f"“{name}”" for name in waiting):
        raise Conflict(
            f"Campaigns wait for their time with this segment: {listed}. Change or cancel those first.",
            code="segment_in_use",
        )
    session.delete(segment)
    session.flush()
    _count_edit(session)


def find_segment(session: SiteSession, public_id: str) -> Segment:
    """The segment with this id as it is stored; 404 without one."""
    id = read_uuid(public_id)
    found = session.exec(select_rows(Segment).where(Segment.public_id == id)).first() if id else None
    if found is None:
        raise NotFound("There is no segment with this id.", code="no_such_segment")
    return found


def fresh_segment(session: SiteSession, public_id: str) -> Segment:
    """The segment with members, size and reach as of now."""
    segment = find_segment(session, public_id)
    bring_up_to_date(database(), session.site_id)
    session.expire(segment)
    return find_segment(session, public_id)  # it may have been deleted meanwhile


def fresh_at(session: SiteSession) -> datetime | None:
    """The instant that the members of the site's segments are those of; None before the first look."""
    found: datetime | None = session.sql(
        text("select fresh_at from site_refresh where site_id = :site"), {"site": session.site_id}
    ).scalar_one_or_none()
    return found


def segments_page(session: SiteSession, after: int, limit: int) -> list[Segment]:
    """Segments in the order they were made, beyond the row id `after`, each as of now."""
    bring_up_to_date(database(), session.site_id)
    return list(
        session.exec(select_rows(Segment).where(col(Segment.id) > after).order_by(col(Segment.id)).limit(limit))
    )


def member_rows(session: SiteSession, segment: Segment, after: int, limit: int) -> list[MemberRow]:
    """Members with customer ids beyond `after`, ascending: a page stays right however members come and go.

    409 while the segment is not ready: `segment_pending` or `segment_failed`.
    """
    check_ready(session, [segment])
    member = segment_member
    statement = (
        select(member.c.customer_id, col(Customer.external_id), col(Customer.anonymous_id), member.c.since)
        .join(Customer, col(Customer.id) == member.c.customer_id)
        .where(member.c.segment_id == segment.id, member.c.customer_id > after)
        .order_by(member.c.customer_id)
        .limit(limit)
    )
    return [MemberRow(*row) for row in session.sql(statement)]


def segments_of_customer(session: SiteSession, customer_id: int) -> list[tuple[Segment, datetime]]:
    """The segments that a customer is in as of now, and since when; those that are not ready are left out."""
    bring_up_to_date(database(), session.site_id)
    statement = (
        select_rows(Segment, segment_member.c.since)
        .join(segment_member, segment_member.c.segment_id == Segment.id)
        .where(segment_member.c.customer_id == customer_id, Segment.state == SegmentState.READY)
        .order_by(col(Segment.id))
    )
    return [(segment, since) for segment, since in session.exec(statement)]


def segment_ids(session: SiteSession, public_ids: Sequence[str], path: str) -> list[int]:
    """Internal ids of segments by their public ids, in the order given; 422 with a fault for each unknown one.

    `path` is the JSON path of the list in the caller's body, such as `$.audience.include`.
    """
    asked = [read_uuid(id) for id in public_ids]
    statement = select_rows(Segment).where(col(Segment.public_id).in_({id for id in asked if id is not None}))
    found = {segment.public_id: segment.id for segment in session.exec(statement)}
    faults = [
        Fault(f"{path}[{index}]", "there is no segment with this id", "unknown_segment")
        for index, id in enumerate(asked)
        if id not in found
    ]
    if faults:
        raise Invalid("Some segments do not exist; `errors` names each.", code="unknown_segment", faults=faults)
    return [internal for id in asked if id is not None and (internal := found[id]) is not None]


def materialise(session: SiteSession, segment_ids: Sequence[int]) -> None:
    """Bring the stored members of segments up to this instant, so that `members_page` sees them.

    409 when those of one are not known, since they are still being found or could not be.
    """
    bring_up_to_date(database(), session.site_id)
    asked = select_rows(Segment).where(col(Segment.id).in_(segment_ids)).execution_options(populate_existing=True)
    check_ready(session, session.exec(asked).all())


def check_not_failed(session: SiteSession, segment_ids: Sequence[int]) -> None:
    """409 `segment_failed` when the members of one of the segments could not be found."""
    failed = select_rows(Segment).where(col(Segment.id).in_(segment_ids), Segment.state == SegmentState.FAILED)
    check_ready(session, session.exec(failed).all())


def members_page(
    session: SiteSession, include: Sequence[int], exclude: Sequence[int], after: int | None, limit: int
) -> list[int]:
    """The next `limit` customer ids beyond `after`, ascending: in any of `include` and in none of `exclude`."""
    member, other = segment_member, segment_member.alias()
    page = select(member.c.customer_id).where(member.c.segment_id.in_(include)).distinct()
    if exclude:
        barred = select(other).where(other.c.segment_id.in_(exclude), other.c.customer_id == member.c.customer_id)
        page = page.where(~barred.exists())
    if after is not None:
        page = page.where(member.c.customer_id > after)
    return list(session.sql(page.order_by(member.c.customer_id).limit(limit)).scalars())


def not_members(
    session: SiteSession, include: Sequence[int], exclude: Sequence[int], customers: Sequence[int]
) -> set[int]:
    """Those of the customers whom `members_page` would not find."""
    found = session.sql(
        text(
            """
            select id from unnest(cast(:customers as int[])) as id
            where not exists (select 1 from segment_member m where m.customer_id = id and m.segment_id = any(:include))
            or exists (select 1 from segment_member m where m.customer_id = id and m.segment_id = any(:exclude))
            """
        ),
        {"customers": array(customers), "include": list(include), "exclude": list(exclude)},
    )
    return set(found.scalars())


def _lock_edits(session: SiteSession) -> None:
    """One edit of a site's segments at a time: two that are each right could close a circle together.

    What has changed is worked off first, so that the members found are those of one instant with the others'.
    """
    bring_up_to_date(database(), session.site_id)
    lock_memberships(session)


def _evaluate_soon(session: SiteSession, edited: list[Segment]) -> None:
    """Find the members of these segments, in the order given, or leave what takes too long to the background."""
    _count_edit(session)
    deadline = time.monotonic() + AT_ONCE
    limit = settings().rule_timeout
    for segment in edited:
        segment.state = SegmentState.PENDING
        begin(session, segment)
        left = deadline - time.monotonic()
        if left <= 0:
            continue
        try:
            with session.begin_nested():
                evaluate(session, segment, clock.now(), min(left, limit))
                end(session, segment)
        except Invalid:
            if limit <= AT_ONCE:
                raise


def _count_edit(session: SiteSession) -> None:
    """Whoever remembers the site's rules reads them anew."""
    session.sql(text("update site_refresh set edits = edits + 1 where site_id = :site"), {"site": session.site_id})


def _naming(session: SiteSession, segment: Segment) -> list[Segment]:
    """The segments whose rules name this one."""
    id = str(segment.public_id)
    every = session.exec(select_rows(Segment).order_by(col(Segment.id)))
    return [other for other in every if id in map(_normal, segments.references(other.rule))]


def _normal(id: str) -> str:
    return str(read_uuid(id) or id)


def _check_dependants(session: SiteSession, segment: Segment) -> list[Segment]:
    """The segments made of this one, which must still be readable: its new rule may be too much for them."""
    rules, checked, waiting = SiteRules(session), dict[UUID, Segment](), [segment]
    while waiting:
        for user in _naming(session, waiting.pop()):
            if user.public_id not in checked:
                checked[user.public_id] = user
                waiting.append(user)
                try:
                    rules.parse(user.rule)
                except Invalid as error:
                    why = error.faults[0]
                    fault = Fault("$.rule", f"does not fit the segment “{user.name}”: {why.message}", why.code)
                    raise Invalid(
                        f"With this rule the segment “{user.name}”, which is made of it, would be refused.",
                        code="invalid_rule",
                        faults=[fault],
                    ) from None
    return list(checked.values())
