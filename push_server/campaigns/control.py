"""Campaigns under way: scheduled, paused, resumed, cancelled. What is so already stays so, and is no error."""

from typing import Any

from push_server import clock
from push_server.audiences.instants import zone_of
from push_server.campaigns.models import Campaign, CampaignState
from push_server.campaigns.schedule import Schedule, first_start, next_start
from push_server.campaigns.service import refusal, sendable_audience
from push_server.db import SiteSession
from push_server.delivery import control
from push_server.delivery.control import Tally
from push_server.errors import Fault, Invalid

_UNDER_WAY = (CampaignState.SCHEDULED, CampaignState.SENDING)


def schedule(session: SiteSession, campaign: Campaign, given: Schedule | None) -> None:
    """Put a draft's schedule in force; `given` replaces it, also that of a campaign which has not started.

    Invalid where there is none, or none that can be kept; Conflict where the members of a segment cannot be found.
    """
    if campaign.state == CampaignState.SCHEDULED and given is None:
        return
    if campaign.state not in (CampaignState.DRAFT, CampaignState.SCHEDULED):
        raise refusal(campaign)
    document: dict[str, Any] = campaign.document
    if given is None and "schedule" not in document:
        raise _fault("$.schedule", "the campaign has none: give one here", "no_schedule")
    sendable_audience(session, campaign)
    put_in_force(session, campaign, given or Schedule(**document["schedule"]), "$" if given else "$.schedule")
    campaign.state, campaign.updated_at = CampaignState.SCHEDULED, clock.now()
    session.add(campaign)


def put_in_force(session: SiteSession, campaign: Campaign, given: Schedule, root: str) -> None:
    """Make it the campaign's schedule, from its first start on; Invalid, with paths from `root`, when it has none."""
    now = clock.now()
    beside = given.experiment_faults(root) if "experiment" in campaign.document else []
    if faults := [*given.faults(root, now), *beside]:
        raise Invalid("The schedule cannot be kept; `errors` names what is wrong.", faults=faults)
    anchored = given.anchored(zone_of(session), now)
    if anchored is None:
        raise _fault(f"{root}.rrule", "has no occurrence to come", "no_occurrence")
    campaign.document = {**campaign.document, "schedule": anchored}
    campaign.next_at = max(first_start(anchored), now)  # a little late is in time, and lives its whole life


def pause(session: SiteSession, campaign: Campaign, problem: str | None = None) -> None:
    """Stop its start, its planning and its sending. `problem`: why, when nobody asked for it."""
    if campaign.state == CampaignState.PAUSED:
        return
    if campaign.state not in _UNDER_WAY:
        raise refusal(campaign)
    assert campaign.id is not None
    control.pause(session, campaign.id)
    campaign.state, campaign.problem = CampaignState.PAUSED, problem
    campaign.paused_at = campaign.updated_at = clock.now()
    session.add(campaign)


def resume(session: SiteSession, campaign: Campaign) -> None:
    """Let it go on. A start that it missed while it was paused is made up for now, unless it comes again anyway."""
    if campaign.state in _UNDER_WAY:
        return
    if campaign.state != CampaignState.PAUSED:
        raise refusal(campaign)
    assert campaign.id is not None
    now = clock.now()
    control.resume(session, campaign.id)
    if campaign.next_at is not None and campaign.next_at <= now:
        document: dict[str, Any] = campaign.document
        following = next_start(document["schedule"], zone_of(session), now)
        campaign.next_at = following or now
    waits = campaign.next_at is not None and not control.is_running(session, campaign.id)
    campaign.state = CampaignState.SCHEDULED if waits else CampaignState.SENDING
    campaign.paused_at = campaign.problem = None
    campaign.updated_at = now
    session.add(campaign)


def cancel(session: SiteSession, campaign: Campaign) -> Tally:
    """Stop it for good, and tell what of it was sent and what was not."""
    assert campaign.id is not None
    if campaign.state != CampaignState.CANCELLED:
        if campaign.state not in (*_UNDER_WAY, CampaignState.PAUSED):
            raise refusal(campaign)
        control.cancel(session, campaign.id)
        campaign.state, campaign.next_at = CampaignState.CANCELLED, None
        campaign.cancelled_at = campaign.updated_at = clock.now()
        session.add(campaign)
    return control.tally(session, campaign.id)


def _fault(path: str, message: str, code: str) -> Invalid:
    return Invalid(f"{path}: {message}.", code=code, faults=[Fault(path, message, code)])
