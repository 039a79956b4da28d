"""`/v1/campaigns`."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import Depends, Request, Response

from push_server import clock, http
from push_server.campaigns import control, edit, preview, service
from push_server.campaigns.document import CampaignIn
from push_server.campaigns.schedule import Schedule
from push_server.campaigns.shapes import (
    AudienceSize,
    CampaignChange,
    CampaignOut,
    CampaignPage,
    Cancelled,
    CancelledOut,
    DeliveryOut,
    DeliveryPage,
    ExperimentReport,
    HoldoutOut,
    PreviewIn,
    PreviewOut,
    PreviewsOut,
    ReportOut,
    SendIn,
    TestIn,
    TestOut,
)
from push_server.delivery import held_out, report
from push_server.delivery.models import DeliveryState
from push_server.fields import Cursor, Limit
from push_server.http import cursor_id, encode_cursor, session_of
from push_server.sites.access import Principal, require
from push_server.sites.models import Scope

router = http.router("campaigns")
Reader = Annotated[Principal, Depends(require(Scope.CAMPAIGNS_READ))]
Writer = Annotated[Principal, Depends(require(Scope.CAMPAIGNS_WRITE))]


@router.post("/v1/campaigns", status_code=201)
def post_campaign(body: CampaignIn, request: Request, _principal: Writer) -> CampaignOut:
    """Create a campaign as a draft."""
    return CampaignOut.of(service.create(session_of(request), body))


@router.get("/v1/campaigns")
def get_campaigns(request: Request, _principal: Reader, limit: Limit = 100, cursor: Cursor = None) -> CampaignPage:
    """The site's campaigns, newest first."""
    found = service.page(session_of(request), cursor_id(cursor) if cursor else None, limit)
    after = encode_cursor([found[-1].id]) if len(found) == limit else None
    return CampaignPage(data=[CampaignOut.of(campaign) for campaign in found], next_cursor=after)


@router.get("/v1/campaigns/{campaign_id}")
def get_campaign(campaign_id: str, request: Request, _principal: Reader) -> CampaignOut:
    """One campaign."""
    return CampaignOut.of(service.find(session_of(request), campaign_id))


@router.patch("/v1/campaigns/{campaign_id}")
def patch_campaign(campaign_id: str, body: CampaignChange, request: Request, _principal: Writer) -> CampaignOut:
    """Change a campaign that is a draft, scheduled or paused; what is not sent yet goes out as it then is.

    409 `already_planned`, with the path of each, for fields that can change no more once deliveries are made of them.
    """
    session = session_of(request)
    campaign = service.find(session, campaign_id, lock=True)
    edit.change(session, campaign, body.root)
    return CampaignOut.of(campaign)


@router.delete("/v1/campaigns/{campaign_id}", status_code=204)
def delete_campaign(campaign_id: str, request: Request, _principal: Writer) -> Response:
    """Delete a draft. 409 `not_a_draft` for others, which are kept for their reports."""
    session = session_of(request)
    edit.delete(session, service.find(session, campaign_id, lock=True))
    return Response(status_code=204)


@router.post("/v1/campaigns/{campaign_id}/preview")
def preview_campaign(
    campaign_id: str, request: Request, principal: Reader, body: PreviewIn | None = None
) -> PreviewsOut:
    """Render the notifications for a customer, or for some members of the audience; nothing is sent.

    409 `segment_pending` or `segment_failed` while the members of one of its segments are not known.
    """
    session = session_of(request)
    campaign = service.find(session, campaign_id)
    customer = service.find_customer(session, body.customer) if body and body.customer else None
    size, reachable = preview.audience_size(session, campaign)
    previews = preview.preview(session, campaign, principal.site, customer)
    return PreviewsOut(
        previews=[PreviewOut.of(one) for one in previews], audience=AudienceSize(size=size, reachable=reachable)
    )


@router.post("/v1/campaigns/{campaign_id}/test", status_code=202)
def send_test(campaign_id: str, body: TestIn, request: Request, _principal: Writer) -> TestOut:
    """Send it to one customer's subscriptions; tests are in no report."""
    count = service.send_test(session_of(request), campaign_id, body.customer, body.variant)
    return TestOut(deliveries=count)


@router.post("/v1/campaigns/{campaign_id}/send", status_code=202)
def send_campaign(campaign_id: str, request: Request, _principal: Writer, _body: SendIn | None = None) -> CampaignOut:
    """Start sending a draft now. 409 `already_sent` when it has been, `has_schedule` when it says another time.

    While members of its segments are still being found it waits for them; 409 `segment_failed` when they could not be.
    """
    return CampaignOut.of(service.send(session_of(request), campaign_id))


@router.post("/v1/campaigns/{campaign_id}/schedule")
def schedule_campaign(
    campaign_id: str, request: Request, _principal: Writer, body: Schedule | None = None
) -> CampaignOut:
    """Have a draft start by its `schedule`, or by the one given here, which also replaces that of a scheduled one."""
    session = session_of(request)
    campaign = service.find(session, campaign_id, lock=True)
    control.schedule(session, campaign, body)
    return CampaignOut.of(campaign)


@router.post("/v1/campaigns/{campaign_id}/pause")
def pause_campaign(campaign_id: str, request: Request, _principal: Writer) -> CampaignOut:
    """Stop it within two seconds, until `resume`: nothing starts, is planned or is posted. Paused already: as it is."""
    session = session_of(request)
    campaign = service.find(session, campaign_id, lock=True)
    control.pause(session, campaign)
    return CampaignOut.of(campaign)


@router.post("/v1/campaigns/{campaign_id}/resume")
def resume_campaign(campaign_id: str, request: Request, _principal: Writer) -> CampaignOut:
    """Let a paused one go on where it was. Not paused: as it is."""
    session = session_of(request)
    campaign = service.find(session, campaign_id, lock=True)
    control.resume(session, campaign)
    return CampaignOut.of(campaign)


@router.post("/v1/campaigns/{campaign_id}/cancel")
def cancel_campaign(campaign_id: str, request: Request, _principal: Writer) -> CancelledOut:
    """Stop it for good within two seconds, and tell what was sent already. Cancelled already: the same, as of now."""
    session = session_of(request)
    campaign = service.find(session, campaign_id, lock=True)
    tally = control.cancel(session, campaign)
    return CancelledOut(**CampaignOut.of(campaign).model_dump(), deliveries=Cancelled(**asdict(tally)))


@router.get("/v1/campaigns/{campaign_id}/report")
def get_report(campaign_id: str, request: Request, _principal: Reader) -> ReportOut:
    """What became of it so far: at any moment the counts by state add up to the audience."""
    session = session_of(request)
    campaign = service.find(session, campaign_id)
    assert campaign.id is not None
    document: dict[str, Any] = campaign.document
    total, by_variant = report.counts(session, campaign.id, len(document["variants"]))
    variants = [{"variant": at, **asdict(counts)} for at, counts in enumerate(by_variant)]
    tried = ExperimentReport.latest(session, campaign.id) if "experiment" in document else None
    return ReportOut.model_validate({**asdict(total), "variants": variants, "experiment": tried})


@router.get("/v1/campaigns/{campaign_id}/holdout")
def get_holdout(campaign_id: str, request: Request, _principal: Reader) -> HoldoutOut:
    """What it is worth: those held out of it beside the others it was meant for, by their orders of the next 7 days."""
    session = session_of(request)
    campaign = service.find(session, campaign_id)
    assert campaign.id is not None
    found = held_out.compare(session, campaign.id)
    return HoldoutOut.model_validate({**asdict(found), "until": found.until and clock.rfc3339(found.until)})


@router.get("/v1/campaigns/{campaign_id}/deliveries")
def get_deliveries(
    campaign_id: str,
    request: Request,
    _principal: Reader,
    state: DeliveryState | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> DeliveryPage:
    """Its deliveries, in the order they were planned."""
    session = session_of(request)
    campaign = service.find(session, campaign_id)
    assert campaign.id is not None
    found = report.rows(session, campaign.id, state, cursor_id(cursor), limit)
    after = encode_cursor([found[-1].id]) if len(found) == limit else None
    return DeliveryPage(data=[_delivery(row) for row in found], next_cursor=after)


def _delivery(row: Any) -> DeliveryOut:
    return DeliveryOut(
        id=str(row.id),
        customer=row.external_id,
        anonymous_id=row.anonymous_id,
        subscription=str(row.subscription) if row.subscription else None,
        variant=row.variant,
        state=row.state,
        reason=row.reason,
        attempts=row.attempts,
        status_code=row.status_code,
        not_before=clock.rfc3339(row.not_before) if row.not_before else None,
        due_at=clock.rfc3339(row.due_at) if row.due_at else None,
        updated_at=clock.rfc3339(row.updated_at),
    )
