"""What the campaign paths take and give besides the document."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field, GetJsonSchemaHandler, RootModel

from push_server import clock
from push_server.campaigns.document import Audience, CampaignIn, message_of
from push_server.campaigns.models import Campaign, CampaignState
from push_server.campaigns.preview import Preview
from push_server.db import SiteSession
from push_server.delivery.experiments import latest_standing
from push_server.delivery.models import DeliveryState, Reason
from push_server.fields import Body, Id
from push_server.http import Page
from push_server.sites.caps import MARKETING


class CampaignOut(BaseModel):
    """A campaign: its document with defaults filled in, and where it is. `sent_at`: when sending began."""

    id: str
    name: str
    state: CampaignState
    audience: Audience
    variants: list[dict[str, Any]] = Field(description="as created")
    holdout_percent: float | None = None
    ttl: int
    urgency: str
    topic: str | None = None
    quiet_hours: str
    cap: str
    delivery: str = "at-least-once"
    message_class: str = MARKETING
    passes: list[Literal["caps", "quiet_hours"]] = Field(description="what does not hold it up")
    priority: int | None = None
    throttle_per_minute: int | None = None
    devices: str = "all"
    guards: dict[str, Any] | None = None
    experiment: dict[str, Any] | None = None
    schedule: dict[str, str | bool] | None = Field(
        default=None, description="as it is in force: `at` is the first start"
    )
    created_at: str
    sent_at: str | None
    next_at: str | None = Field(description="when it starts, or starts again")
    paused_at: str | None
    cancelled_at: str | None
    problem: str | None = Field(description="why it was paused, when nobody asked for it")

    @classmethod
    def of(cls, campaign: Campaign) -> "CampaignOut":
        """The campaign as the API shows it."""
        assert campaign.created_at is not None
        document: dict[str, Any] = campaign.document
        return cls(
            **document,
            passes=message_of(document).passes,
            id=str(campaign.public_id),
            name=campaign.name,
            state=CampaignState(campaign.state),
            created_at=clock.rfc3339(campaign.created_at),
            **{name: _instant(getattr(campaign, name)) for name in ("sent_at", "next_at", "paused_at", "cancelled_at")},
            problem=campaign.problem,
        )


class Cancelled(BaseModel):
    """What had happened by then. `planned` false: the audience was not wholly known yet; the rest is not counted."""

    sent: int = Field(description="accepted by a push service")
    in_flight: int = Field(description="under way to a push service: its answer counts")
    stopped: int
    planned: bool


class CancelledOut(CampaignOut):
    """The campaign, and what of it was sent or stopped."""

    deliveries: Cancelled


class CampaignChange(RootModel[dict[str, Any]]):
    """Fields of the document to change, each as a whole; null takes away one that may be left out."""

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        whole = handler.resolve_ref_schema(handler(CampaignIn.__pydantic_core_schema__))
        fields = {name: {**field} for name, field in whole["properties"].items()}
        for field in fields.values():
            field.pop("default", None)
        example = {"ttl": 3600, "variants": whole["example"]["variants"]}
        return {"type": "object", "properties": fields, "additionalProperties": False, "example": example}


class CampaignPage(Page):
    """A page of campaigns."""

    data: list[CampaignOut]


class PreviewIn(Body):
    """For whom; without a customer, for a few members of the audience."""

    customer: Id | None = Field(default=None, description="external id")


class SendIn(Body):
    """Nothing: whoever names a time or a part of the audience here must not find that all got it at once."""


class TestIn(Body):
    """To whom a test goes, and which variant; without one, the customer's own."""

    customer: Id = Field(description="external id")
    variant: int | None = Field(default=None, ge=0)


class TestOut(BaseModel):
    """To how many subscriptions the test is on its way."""

    deliveries: int


class TextError(BaseModel):
    """What is wrong with a text: JSON path within the campaign, and what."""

    path: str
    message: str


class PreviewOut(BaseModel):
    """A variant as a customer would get it; `notification` is null when it would not be sent."""

    variant: int
    customer: str | None
    anonymous_id: str | None
    notification: dict[str, Any] | None
    errors: list[TextError]
    bytes: int = Field(description="of the push payload; 3,993 at most")

    @classmethod
    def of(cls, preview: Preview) -> "PreviewOut":
        """The preview as the API shows it."""
        return cls(
            variant=preview.variant,
            customer=preview.customer.external_id,
            anonymous_id=preview.customer.anonymous_id,
            notification=preview.notification,
            errors=[TextError(path=path, message=message) for path, message in preview.errors],
            bytes=preview.bytes,
        )


class AudienceSize(BaseModel):
    """Customers in the audience, and those of them with an active subscription."""

    size: int
    reachable: int


class PreviewsOut(BaseModel):
    """What would be sent, and to how many."""

    previews: list[PreviewOut]
    audience: AudienceSize


class Outcomes(BaseModel):
    """Deliveries that were shown, clicked, closed, and followed by an order within 72 hours of a click."""

    shown: int
    clicked: int
    closed: int
    converted: int


class VariantReport(BaseModel):
    """The same for one variant."""

    variant: int
    audience: int
    states: dict[DeliveryState, int]
    reasons: dict[Reason, int]
    outcomes: Outcomes


MOST_EVIDENCE = 1e9
"""More says nothing more, and infinity is no JSON."""


class ExperimentVariant(BaseModel):
    """What came of those who tried a variant."""

    variant: int
    sent: int = Field(description="accepted by a push service")
    successes: int = Field(description="clicked or converted, as `metric` says")


class ExperimentReport(BaseModel):
    """How the experiment of the latest run stands."""

    metric: str
    variants: list[ExperimentVariant]
    leader: int
    evidence: float = Field(description="how many times likelier what was seen is if leader and best rival differ")
    winner: int | None = Field(description="what the rest got; null: not decided yet")
    is_certain: bool | None = Field(description="false: `decide_within` was over before the confidence was reached")
    decided_at: str | None

    @classmethod
    def latest(cls, session: SiteSession, campaign_id: int) -> "ExperimentReport | None":
        """That of the campaign's latest run; None before there is one."""
        found = latest_standing(session, campaign_id)
        if found is None:
            return None
        dispatch, metric, standing = found
        each = enumerate(zip(standing.sent, standing.successes, strict=True))
        return cls(
            metric=metric,
            variants=[ExperimentVariant(variant=at, sent=sent, successes=successes) for at, (sent, successes) in each],
            leader=standing.leader,
            evidence=min(standing.evidence, MOST_EVIDENCE),
            winner=dispatch.winner,
            is_certain=dispatch.is_certain,
            decided_at=_instant(dispatch.decided_at),
        )


class ReportOut(BaseModel):
    """Deliveries by state and reason, and what came of them; the states always add up to `audience`."""

    audience: int
    states: dict[DeliveryState, int]
    reasons: dict[Reason, int]
    outcomes: Outcomes
    variants: list[VariantReport]
    experiment: ExperimentReport | None = None


class HoldoutGroup(BaseModel):
    """Customers, once for each run they were meant to get, and what they ordered within 7 days after it began."""

    customers: int
    buyers: int
    orders: int
    revenue: float


class HoldoutDifference(BaseModel):
    """How much larger the part of buyers is among the others; `low` to `high`: its bounds, by 95 in 100."""

    buyers: float
    low: float
    high: float


class HoldoutOut(BaseModel):
    """Those held out of a campaign beside the others it was meant for, whether they got it or not."""

    held_out: HoldoutGroup
    others: HoldoutGroup
    difference: HoldoutDifference | None = Field(description="null while a group is empty")
    until: str | None = Field(description="when the last order counts that may; null before the first run")


class DeliveryOut(BaseModel):
    """One delivery."""

    id: str
    customer: str | None
    anonymous_id: str | None
    subscription: str | None
    variant: int
    state: DeliveryState
    reason: Reason | None
    attempts: int = Field(description="how often a worker took it up; its push service was asked as often at most")
    status_code: int | None = Field(description="the push service's last answer")
    not_before: str | None = Field(description="the instant that it is planned for; null: at once")
    due_at: str | None = Field(description="while it waits: when it is looked at next, at the latest")
    updated_at: str


class DeliveryPage(Page):
    """A page of deliveries."""

    data: list[DeliveryOut]


def _instant(at: datetime | None) -> str | None:
    return clock.rfc3339(at) if at is not None else None
