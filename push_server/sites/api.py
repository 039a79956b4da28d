"""`/v1/site`: what a shop sets about itself."""

from typing import Annotated, Any

from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from push_server import clock, http, security
from push_server.fields import Body, Name
from push_server.http import session_of
from push_server.sites import caps, holdout, quiet_hours, service
from push_server.sites.access import Principal, require
from push_server.sites.caps import CapIn
from push_server.sites.holdout import HoldoutPercent
from push_server.sites.models import Scope, Site
from push_server.sites.quiet_hours import QuietHoursIn
from push_server.sites.retention import MOST_NAMES, change_retention, retention_of

router = http.router("site")

Reader = Annotated[Principal, Depends(require(Scope.SITE_READ))]
Writer = Annotated[Principal, Depends(require(Scope.SITE_WRITE))]


def _kept() -> Any:
    """The value of a field that was not given; null is none of its values, so its schema does not name it."""
    return None


Kept = Field(default_factory=_kept)


class Prompt(Body):
    """The soft prompt's texts, in the shop's own words; what is null is the SDK's own text."""

    title: Annotated[Name, StringConstraints(max_length=100)] | None = None
    body: Annotated[Name, StringConstraints(max_length=300)] | None = None
    accept: Annotated[Name, StringConstraints(max_length=50)] | None = None
    decline: Annotated[Name, StringConstraints(max_length=50)] | None = None


class RetentionIn(Body):
    """How long events are kept: `400d`, `52w`; null: for ever. Orders and points are kept in any case."""

    default: Name | None = Field(default=None, description="of events that are not named")
    events: dict[Name, Name | None] = Field(
        default_factory=dict, max_length=MOST_NAMES, description="by the event's name; all of them together"
    )


class RetentionOut(BaseModel):
    """How long events are kept; null: for ever."""

    default: str | None
    events: dict[str, str | None]


class SitePatch(Body):
    """The fields to change; the others stay."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "origins": ["https://shop.example"],
                "time_zone": "Europe/Budapest",
                "prompt": {"title": "Shall we tell you of price drops?", "accept": "Yes, please", "decline": "No"},
                "retention": {"default": None, "events": {"Product Viewed": "400d"}},
                "quiet_hours": {"from": "21:00", "to": "08:00"},
                "caps": [{"limit": 3, "within": "7d"}],
            }
        }
    )

    name: Name = Kept
    origins: list[Name] = Field(default_factory=_kept, min_length=1, max_length=50)
    time_zone: Name = Kept
    currency: Name = Kept
    contact: Name = Field(default_factory=_kept, description="mailto: or https:, told to push services")
    identity_verification: bool = Field(default_factory=_kept, description="demand userHash with every userId")
    secret_orders_only: bool = Field(default_factory=_kept, description="Order * and Loyalty * by the secret key only")
    prompt: Prompt | None = Field(default=None, description="null puts the SDK's own texts back")
    retention: RetentionIn | None = Field(default=None, description="null: events are kept for ever")
    quiet_hours: QuietHoursIn | None = Field(default=None, description="null: there are none")
    caps: list[CapIn] | None = Field(
        default=None, max_length=10, description="all of them together; each holds. null: there are none"
    )
    holdout_percent: HoldoutPercent | None = Field(
        default=None, description="customers that no campaign goes to but transactional ones; null: none"
    )


class SiteOut(BaseModel):
    """A site, without its secrets."""

    id: str
    name: str
    origins: list[str]
    time_zone: str
    currency: str
    contact: str
    public_key: str
    vapid_public_key: str
    identity_verification: bool
    secret_orders_only: bool
    prompt: dict[str, str | None]
    retention: RetentionOut
    quiet_hours: dict[str, str] | None
    caps: list[CapIn]
    holdout_percent: float | None
    created_at: str


class IdentitySecret(BaseModel):
    """`userHash` is the hex HMAC-SHA256 of userId under this text."""

    identity_secret: str


@router.get("/v1/site")
def get_site(request: Request, principal: Reader) -> SiteOut:
    """The site of the key."""
    return _out(request, principal.site)


@router.patch("/v1/site")
def patch_site(body: SitePatch, request: Request, principal: Writer) -> SiteOut:
    """Change the site. Browsers are told within a minute.

    Events older than the retention are deleted from a quarter of an hour later on. It is refused (409) when a segment
    asks for older ones; and a time zone is in which the dates of a segment's rule could not be read.
    """
    session = session_of(request)
    site = principal.site
    given = body.model_dump(exclude_unset=True)
    is_locked = "retention" in given
    if is_locked:
        change_retention(session, site, given.pop("retention"))
    if "time_zone" in given:
        service.check_zone_change(session, given["time_zone"])
    if not is_locked:
        session.refresh(site, with_for_update=True)
    if "prompt" in given:
        prompt = body.prompt.model_dump(exclude_unset=True) if body.prompt else {}
        kept = _prompt(site) if body.prompt else {}
        site.settings = {**site.settings, "prompt": {**kept, **prompt}}
    if "quiet_hours" in given:
        hours = body.quiet_hours.model_dump(by_alias=True) if body.quiet_hours else None
        site.settings = {**site.settings, quiet_hours.SETTING: hours}
    if "caps" in given:
        site.settings = {**site.settings, caps.SETTING: [cap.model_dump() for cap in body.caps or []]}
    if "holdout_percent" in given:
        site.settings = {**site.settings, holdout.SETTING: body.holdout_percent}
    apart = ("prompt", "quiet_hours", "caps", "holdout_percent")
    columns = {name: value for name, value in given.items() if name not in apart}
    service.change_site(site, columns)
    session.add(site)
    session.flush()
    return _out(request, site)


@router.get("/v1/site/identity-secret")
def get_identity_secret(_request: Request, principal: Writer) -> IdentitySecret:
    """The secret for `userHash`, for the shop's server alone."""
    return IdentitySecret(identity_secret=service.identity_secret(principal.site))


@router.post("/v1/site/identity-secret/rotate")
def rotate_identity_secret(request: Request, principal: Writer) -> IdentitySecret:
    """Replace the secret for `userHash`: hashes made under the former one are refused from now on."""
    secret = service.renew_identity_secret(principal.site)
    session_of(request).add(principal.site)
    return IdentitySecret(identity_secret=secret)


def _prompt(site: Site) -> dict[str, Any]:
    prompt = site.settings.get("prompt")
    return dict(prompt) if isinstance(prompt, dict) else {}


def _out(request: Request, site: Site) -> SiteOut:
    vapid_key = service.active_vapid_key(session_of(request))
    assert site.created_at is not None
    return SiteOut(
        id=str(site.public_id),
        vapid_public_key=security.b64url(vapid_key.public_key),
        prompt=_prompt(site),
        retention=RetentionOut(**retention_of(site).written()),
        quiet_hours=site.settings.get(quiet_hours.SETTING),
        caps=site.settings.get(caps.SETTING) or [],
        holdout_percent=site.settings.get(holdout.SETTING),
        created_at=clock.rfc3339(site.created_at),
        **site.model_dump(
            include={
                "name",
                "origins",
                "time_zone",
                "currency",
                "contact",
                "public_key",
                "identity_verification",
                "secret_orders_only",
            }
        ),
    )
