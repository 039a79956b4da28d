"""Stored rules and the site's time zone must not contradict each other: dates are read in it."""

from sqlmodel import col, select

from push_server.audiences.models import Segment
from push_server.audiences.rules import SiteRules
from push_server.audiences.step import lock_memberships
from push_server.db import SiteSession
from push_server.errors import Conflict, Fault, Invalid


def refuse_unreadable(session: SiteSession, zone: str) -> None:
    """409 that names the segments whose rules could be read no more in this time zone.

    No rule is written until the transaction ends.
    """
    lock_memberships(session)
    now, then, faults = SiteRules(session), SiteRules(session, zone=zone), list[Fault]()
    for segment in session.exec(select(Segment).order_by(col(Segment.id))):
        ours = _faults(then, segment) if not _faults(now, segment) else []
        faults += [Fault("$.time_zone", f"the segment “{segment.name}”: {one.path} {one.message}") for one in ours]
    if faults:
        raise Conflict(
            f"In {zone} the dates in some segments' rules could not be read any more; `errors` names each. Edit or"
            " delete these segments first.",
            code="time_zone_contradicts_segments",
            faults=faults,
        )


def _faults(rules: SiteRules, segment: Segment) -> list[Fault]:
    try:
        rules.parse(segment.rule)
    except Invalid as error:
        return error.faults
    return []
