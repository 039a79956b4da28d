"""Whom a dispatch is for: its segments as they are now, when it is planned and again when a message is made."""

from collections.abc import Sequence

from sqlmodel import col, select

from push_server.audiences.models import Segment, SegmentState
from push_server.audiences.refresh import bring_up_to_date
from push_server.audiences.service import not_members
from push_server.db import SiteSession, database
from push_server.delivery.models import Dispatch


def freshen(session: SiteSession) -> None:
    """Bring the members of the site's segments up to this instant."""
    bring_up_to_date(database(), session.site_id)


def unready(session: SiteSession, dispatch: Dispatch) -> list[Segment]:
    """Its segments whose members are not known at the moment, since they are being found or could not be."""
    wanted = {*dispatch.include, *dispatch.exclude}
    return [segment for segment in _stored(session, wanted) if segment.state != SegmentState.READY]


def left(session: SiteSession, dispatch: Dispatch, customers: Sequence[int]) -> set[int]:
    """Those of the customers who are in its audience no longer, by the stored members.

    Tests go to a customer instead of an audience; and of a segment that has been deleted since, or whose members are
    being found anew, nobody can tell.
    """
    stored = {segment.id for segment in _stored(session, set(dispatch.include))}
    if not dispatch.include or stored != set(dispatch.include) or unready(session, dispatch):
        return set()
    return not_members(session, dispatch.include, dispatch.exclude, customers)


def _stored(session: SiteSession, wanted: set[int]) -> list[Segment]:
    return list(session.exec(select(Segment).where(col(Segment.id).in_(wanted))))
