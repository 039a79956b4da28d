"""Campaigns: created, tested and sent. What is written and the jobs it needs are one transaction."""

from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import text
from sqlmodel import col, select

from push_server import clock
from push_server.audiences.service import check_not_failed, materialise, segment_ids
from push_server.campaigns.document import CampaignIn, message_of
from push_server.campaigns.models import Campaign, CampaignState
from push_server.customers.models import Customer
from push_server.db import Database, SiteSession
from push_server.delivery.service import dispatch
from push_server.errors import Conflict, Fault, Invalid, NotFound
from push_server.ids import parse_id
from push_server.subscriptions.models import Subscription, SubscriptionState

_REFUSALS: Final = {
    CampaignState.DRAFT: ("not_started", "This campaign is a draft: send or schedule it first."),
    CampaignState.SCHEDULED: ("already_scheduled", "This campaign is scheduled already: pause or cancel it first."),
    CampaignState.SENDING: ("already_sent", "This campaign is being sent. Pause or cancel it, or create another one."),
    CampaignState.PAUSED: ("paused", "This campaign is paused: resume or cancel it first."),
    CampaignState.CANCELLED: ("cancelled", "This campaign was cancelled. Create another one."),
    CampaignState.SENT: ("already_sent", "This campaign has been sent already. Create another one."),
}

# A paused one is over, too, when all of it has expired and it does not come again.
_ENDED: Final = """
    select c.id from campaign c where (c.state = 'sending' or c.state = 'paused' and c.next_at is null)
    and not exists (select 1 from dispatch d where d.campaign_id = c.id and not d.is_test and d.state <> 'done')
"""


def create(session: SiteSession, given: CampaignIn) -> Campaign:
    """Store a draft. Invalid, with the path of each fault, when it cannot be sent as it is."""
    faults = given.faults()
    if given.schedule is not None:
        faults += given.schedule.faults("$.schedule", clock.now())
    if faults:
        raise Invalid("Some fields are not as the API wants them; `errors` names each.", faults=faults)
    document = given.stored()
    audience_ids(session, document)
    campaign = Campaign(name=given.name, document=document, created_at=clock.now(), updated_at=clock.now())
    session.add(campaign)
    session.flush()
    return campaign


def find(session: SiteSession, public_id: str, *, lock: bool = False) -> Campaign:
    """The site's campaign of this id; NotFound without one."""
    statement = select(Campaign).where(Campaign.public_id == parse_id(public_id, "campaign"))
    campaign = session.exec(statement.with_for_update() if lock else statement).one_or_none()
    if campaign is None:
        raise NotFound("There is no campaign with this id.", code="no_such_campaign")
    return campaign


def page(session: SiteSession, before: int | None, limit: int) -> list[Campaign]:
    """The site's campaigns, newest first; those older than the row id `before`."""
    statement = select(Campaign).order_by(col(Campaign.id).desc()).limit(limit)
    if before is not None:
        statement = statement.where(col(Campaign.id) < before)
    return list(session.exec(statement))


def send(session: SiteSession, public_id: str) -> Campaign:
    """Start sending a draft: state and planning job in one transaction. Conflict when it has been sent.

    Conflict, too, when it has a schedule, by which it would start otherwise than it says, and when the members of one
    of its segments could not be found; for those still being found it waits.
    """
    campaign = find(session, public_id, lock=True)
    if campaign.state != CampaignState.DRAFT:
        raise refusal(campaign)
    if "schedule" in campaign.document:
        raise Conflict(
            "This campaign has a schedule: POST …/schedule puts it in force. Take the schedule out to send it now.",
            code="has_schedule",
        )
    begin(session, campaign, clock.now())
    return campaign


def begin(session: SiteSession, campaign: Campaign, at: datetime) -> None:
    """Have the campaign's message planned and sent, once; `at` is when that was due."""
    include, exclude = sendable_audience(session, campaign)
    now = clock.now()
    campaign.state = CampaignState.SENDING
    campaign.sent_at = campaign.sent_at or now
    campaign.updated_at = now
    session.add(campaign)
    assert campaign.id is not None
    dispatch(session, campaign.id, include, exclude, message_of(campaign.document).as_document(), at=at)


def refusal(campaign: Campaign) -> Conflict:
    """Why a campaign cannot do what was asked in the state that it is in."""
    code, why = _REFUSALS[CampaignState(campaign.state)]
    return Conflict(why, code=code)


def send_test(session: SiteSession, public_id: str, external_id: str, variant: int | None) -> int:
    """Send the campaign to one customer's subscriptions, outside its report; returns how many those are."""
    campaign = find(session, public_id)
    message = message_of(campaign.document)
    if variant is not None and variant >= len(message.notifications):
        raise _unknown("$.variant", "the campaign has no such variant", "unknown_variant")
    customer = find_customer(session, external_id)
    statement = select(Subscription).where(Subscription.customer_id == customer.id)
    subscriptions = session.exec(statement.where(Subscription.state == SubscriptionState.ACTIVE)).all()
    if not subscriptions:
        raise _unknown("$.customer", "this customer has no active subscription", "no_subscription")
    assert campaign.id is not None
    assert customer.id is not None
    message = replace(message, variant=variant, customer_ids=[customer.id], latest_device=False)
    dispatch(session, campaign.id, [], [], message.as_document(), is_test=True)
    return len(subscriptions)


def find_customer(session: SiteSession, external_id: str) -> Customer:
    """The customer that a body names as `customer`; Invalid when the site has none of that id."""
    customer = session.exec(select(Customer).where(Customer.external_id == external_id)).one_or_none()
    if customer is None:
        raise _unknown("$.customer", "there is no customer with this external id", "unknown_customer")
    return customer


def fresh_audience(session: SiteSession, campaign: Campaign) -> tuple[list[int], list[int]]:
    """Internal ids of the included and the excluded segments, brought up to date."""
    include, exclude = audience_ids(session, campaign.document)
    materialise(session, [*include, *exclude])
    return include, exclude


def sendable_audience(session: SiteSession, campaign: Campaign) -> tuple[list[int], list[int]]:
    """Internal ids of the included and the excluded segments; Conflict when the members of one cannot be found."""
    include, exclude = audience_ids(session, campaign.document)
    check_not_failed(session, [*include, *exclude])
    return include, exclude


def finish(database: Database) -> None:
    """Campaigns whose deliveries have all come to an end are `sent`, or `scheduled` while there is a next time.

    The scheduler repeats this.
    """
    with database.session() as session:
        ended = session.sql(text(_ENDED + " for update of c skip locked")).scalars().all()
        # Looked at again now that none of them can start anew unseen.
        session.sql(
            text(
                f"""
                update campaign set state = case when next_at is null then 'sent' else 'scheduled' end,
                       paused_at = null, updated_at = :now
                where id in ({_ENDED} and c.id = any(:ended))
                """  # noqa: S608 — no text from outside
            ),
            {"now": clock.now(), "ended": ended},
        )


def audience_ids(session: SiteSession, document: dict[str, Any]) -> tuple[list[int], list[int]]:
    """Internal ids of the included and the excluded segments; Invalid, with its path, for one that is not there."""
    audience = document["audience"]
    return (
        segment_ids(session, audience["include"], "$.audience.include"),
        segment_ids(session, audience["exclude"], "$.audience.exclude"),
    )


def _unknown(path: str, message: str, code: str) -> Invalid:
    return Invalid(f"{path}: {message}.", code=code, faults=[Fault(path, message, code)])
