"""Changing a campaign's document, and deleting a draft."""

from typing import Any, Final

from pydantic import ValidationError
from sqlalchemy import Text, cast, func
from sqlmodel import col, select

from push_server import clock
from push_server.audiences.models import Segment
from push_server.campaigns.control import put_in_force
from push_server.campaigns.document import CampaignIn, message_of
from push_server.campaigns.models import Campaign, CampaignState
from push_server.campaigns.schedule import Schedule
from push_server.campaigns.service import audience_ids, refusal
from push_server.db import SiteSession
from push_server.delivery import control
from push_server.errors import Conflict, Fault, Invalid
from push_server.http import json_path

_EDITABLE = (CampaignState.DRAFT, CampaignState.SCHEDULED, CampaignState.PAUSED)
_PLANNED: Final = ("audience", "holdout_percent", "schedule", "throttle_per_minute", "experiment", "devices")
"""What the rows of a delivery were made of: who gets one, and when."""
_ABSENT: Final = {"devices": "all"}
"""What a document of before that field was means."""


def change(session: SiteSession, campaign: Campaign, changes: dict[str, Any]) -> None:
    """Replace these fields of the document, null by their default; what is not sent yet goes out with the new one.

    Invalid, with the path of each fault, when the whole is not a campaign any more; Conflict when what is to change
    can change no more.
    """
    if campaign.state == CampaignState.SENDING:
        raise Conflict("This campaign is being sent: pause it, change it, and resume it.", code="sending")
    if campaign.state not in _EDITABLE:
        raise refusal(campaign)
    before: dict[str, Any] = campaign.document
    given = _read({"name": campaign.name, **before, **changes})
    after = given.stored()
    assert campaign.id is not None
    running = control.is_running(session, campaign.id)
    if faults := _too_late(before, after, started=campaign.sent_at is not None, running=running):
        raise Conflict(
            "Some fields cannot change any more, since deliveries are made of them; `errors` names each."
            " Cancel this campaign and create another one.",
            code="already_planned",
            faults=faults,
        )
    campaign.name, campaign.document, campaign.updated_at = given.name, after, clock.now()
    if after.get("schedule") != before.get("schedule"):
        _reschedule(session, campaign, given.schedule)
    if running:
        control.replace_message(session, campaign.id, message_of(after).as_document())
    else:
        audience_ids(session, after)
    session.add(campaign)


def delete(session: SiteSession, campaign: Campaign) -> None:
    """Delete a draft and its tests; Conflict for any other campaign, and while a segment's rule names it."""
    if campaign.state != CampaignState.DRAFT:
        raise Conflict("Only drafts can be deleted; what was sent or scheduled is kept.", code="not_a_draft")
    written = func.replace(func.lower(cast(col(Segment.rule), Text)), "-", "")
    naming = select(col(Segment.name)).where(written.contains(campaign.public_id.hex))
    if names := session.exec(naming.limit(5)).all():
        listed = ", ".join(f"“{name}”" for name in names)
        raise Conflict(f"Segments ask what became of it: {listed}. Change those first.", code="campaign_in_use")
    assert campaign.id is not None
    control.forget(session, campaign.id)
    session.delete(campaign)


def _read(document: dict[str, Any]) -> CampaignIn:
    try:
        given = CampaignIn.model_validate({name: value for name, value in document.items() if value is not None})
        faults = given.faults()
    except ValidationError as error:
        faults = [Fault(json_path(item["loc"]), item["msg"], item["type"]) for item in error.errors()]
    if faults:
        raise Invalid("Some fields are not as the API wants them; `errors` names each.", faults=faults)
    return given


def _too_late(before: dict[str, Any], after: dict[str, Any], *, started: bool, running: bool) -> list[Fault]:
    changed = [f"$.{name}" for name in _PLANNED if running and before.get(name, _ABSENT.get(name)) != after.get(name)]
    weights = [[variant["weight"] for variant in document["variants"]] for document in (before, after)]
    if (started and len(weights[0]) != len(weights[1])) or (running and weights[0] != weights[1]):
        changed.append("$.variants")
    return [Fault(path, "is what deliveries were planned by", "already_planned") for path in changed]


def _reschedule(session: SiteSession, campaign: Campaign, schedule: Schedule | None) -> None:
    if campaign.state != CampaignState.DRAFT:
        if schedule is None:
            fault = Fault("$.schedule", "is what this campaign waits for; to end it, cancel it", "missing")
            raise Invalid("A campaign that is scheduled needs its schedule.", faults=[fault])
        put_in_force(session, campaign, schedule, "$.schedule")
    elif schedule is not None and (faults := schedule.faults("$.schedule", clock.now())):
        raise Invalid("The schedule cannot be kept; `errors` names what is wrong.", faults=faults)
