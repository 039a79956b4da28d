"""Whom a dispatch is for: its segments as they are now, when it is planned and again when a message is made."""

from collections.abc import Sequence

from sqlmodel import col, select

from push_server.audiences.models import Segment
from push_server.audiences.service import materialise, not_members
from push_server.db import SiteSession
from push_server.delivery.models import Dispatch


def freshen(session: SiteSession, dispatch: Dispatch) -> None:
    """Bring the members of the dispatch's segments up to this instant."""
    materialise(session, sorted(_stored(session, {*dispatch.include, *dispatch.exclude})))


def left(session: SiteSession, dispatch: Dispatch, customers: Sequence[int]) -> set[int]:
    """Those of the customers who are in its audience no longer, by the stored members.

    Tests go to a customer instead of an audience, and of a segment that has been deleted since nobody can tell.
    """
    if not dispatch.include or _stored(session, set(dispatch.include)) != set(dispatch.include):
        return set()
    return not_members(session, dispatch.include, dispatch.exclude, customers)


def _stored(session: SiteSession, wanted: set[int]) -> set[int]:
    found = session.exec(select(Segment.id).where(col(Segment.id).in_(wanted)))
    return {id for id in found if id is not None}
