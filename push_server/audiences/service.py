"""Segments as others use them: ids behind public ids, members brought up to date, members by page."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select

from push_server.audiences.models import Segment, segment_member
from push_server.audiences.refresh import refresh
from push_server.db import SiteSession
from push_server.errors import Fault, Invalid


def segment_ids(session: SiteSession, public_ids: Sequence[str], path: str) -> list[int]:
    """Internal ids of segments by their public ids, in the order given; 422 with a fault for each unknown one.

    `path` is the JSON path of the list in the caller's body, such as `$.audience.include`.
    """
    asked = [_uuid(text) for text in public_ids]
    known = {id for id in asked if id is not None}
    rows = session.exec(select(Segment).where(Segment.public_id.in_(known))).scalars()  # type: ignore[call-overload, attr-defined]
    found: dict[UUID | None, int] = {row.public_id: row.id for row in rows}
    faults = [
        Fault(f"{path}[{index}]", "there is no segment with this id", "unknown_segment")
        for index, id in enumerate(asked)
        if id not in found
    ]
    if faults:
        raise Invalid("Some segments do not exist; `errors` names each.", code="unknown_segment", faults=faults)
    return [found[id] for id in asked]


def materialise(session: SiteSession, segment_id: int) -> None:
    """Bring the stored members of a segment up to this instant, so that `members_page` sees them."""
    refresh(session, segment_id)


def members_page(
    session: SiteSession, include: Sequence[int], exclude: Sequence[int], after: int | None, limit: int
) -> list[int]:
    """The next `limit` customer ids beyond `after`, ascending: in any of `include` and in none of `exclude`."""
    member = segment_member
    excluded = select(member.c.customer_id).where(member.c.segment_id.in_(exclude))
    page = select(member.c.customer_id).where(member.c.segment_id.in_(include)).distinct()
    if exclude:
        page = page.where(member.c.customer_id.not_in(excluded))
    if after is not None:
        page = page.where(member.c.customer_id > after)
    return list(session.sql(page.order_by(member.c.customer_id).limit(limit)).scalars())


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except (ValueError, AttributeError, TypeError):
        return None
