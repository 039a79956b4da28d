"""Stored rules and how long events are kept must not contradict each other, whichever of them comes later."""

from sqlmodel import col, select

from push_server.audiences.models import Segment
from push_server.audiences.rules import SiteRules
from push_server.audiences.step import lock_memberships
from push_server.db import SiteSession
from push_server.errors import Conflict, Fault, Invalid
from push_server.sites.retention import Retention
from segments.retention import CODE


def refuse_contradiction(session: SiteSession, retention: Retention) -> None:
    """409 that names the segments whose rules ask for events which would be deleted.

    No rule is written until the transaction ends.
    """
    lock_memberships(session)
    rules, faults = SiteRules(session, retention=retention), []
    for segment in session.exec(select(Segment).order_by(col(Segment.id))):
        try:
            rules.parse(segment.rule)
        except Invalid as error:
            faults += [
                Fault("$.retention", f"the segment “{segment.name}”: {fault.message}", CODE)
                for fault in error.faults
                if fault.code == CODE
            ]
    if faults:
        raise Conflict(
            "Some segments ask for older events than would be kept; `errors` names each. Keep these events longer, or"
            " edit or delete the segments first.",
            code="retention_contradicts_segments",
            faults=faults,
        )
