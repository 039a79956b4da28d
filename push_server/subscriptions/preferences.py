"""`/v1/preferences`: which topics a browser wants to hear of, and until when it wants to hear of nothing."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Query, Request
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from push_server import clock
from push_server.customers.changes import Kind, note
from push_server.fields import BrowserBody
from push_server.http import session_of
from push_server.sites.access import browser_caller
from push_server.sites.browser import browser_router
from push_server.subscriptions.models import Subscription
from push_server.subscriptions.service import active_subscription
from push_server.subscriptions.shapes import Endpoint, Topics

router = browser_router("subscriptions")
_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def _written(value: object) -> object:
    if not isinstance(value, str):
        raise PydanticCustomError("instant_type", "must be an RFC 3339 time such as 2026-01-31T09:00:00Z")
    return value


def _within_reach(value: datetime) -> datetime:
    if not _EARLIEST <= value < _LATEST:
        raise PydanticCustomError("out_of_range", "must be from 1970 to 2199")
    return value


Until = Annotated[
    AwareDatetime,
    BeforeValidator(_written, json_schema_input_type=str),
    AfterValidator(_within_reach),
    Field(strict=False),
]


class PreferencesIn(BrowserBody):
    """What is to change; the rest stays. `topics` replaces the list, `snoozeUntil: null` ends a snooze."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "endpoint": "https://updates.push.services.mozilla.com/wpush/v2/gAAAAABm",
                "topics": ["sales"],
                "snoozeUntil": "2026-01-31T09:00:00Z",
            }
        }
    )

    endpoint: Endpoint
    topics: Topics | None = None
    snoozeUntil: Until | None = None
    writeKey: str | None = Field(default=None, max_length=255)


class PreferencesOut(BaseModel):
    """A subscription's preferences. `snoozeUntil` is null unless it lies ahead."""

    topics: list[str]
    snoozeUntil: str | None


@router.get("/v1/preferences")
def get_preferences(
    request: Request,
    endpoint: Annotated[str, Query(max_length=4096, description="the subscription's, which only its browser knows")],
    key: Annotated[str | None, Query(max_length=255, description="the site's public key, pk_…")] = None,
) -> PreferencesOut:
    """What the browser with this endpoint chose. The key comes as Basic user name or as `key`."""
    browser_caller(request, key)
    return _out(active_subscription(session_of(request), endpoint))


@router.put("/v1/preferences")
def put_preferences(body: PreferencesIn, request: Request) -> PreferencesOut:
    """Choose topics, or be left in peace until an instant: messages due before it are suppressed, not put off."""
    browser_caller(request, body.writeKey)
    session = session_of(request)
    subscription = active_subscription(session, body.endpoint)
    if body.topics is not None:
        subscription.topics = body.topics
    if "snoozeUntil" in body.model_fields_set:
        subscription.snoozed_until = body.snoozeUntil
    subscription.updated_at = clock.now()
    session.add(subscription)
    session.flush()
    note(session.raw, session.site_id, [(subscription.customer_id, Kind.SUBSCRIPTION)])
    return _out(subscription)


def _out(subscription: Subscription) -> PreferencesOut:
    until = subscription.snoozed_until
    ahead = clock.rfc3339(until) if until is not None and until > clock.now() else None
    return PreferencesOut(topics=subscription.topics, snoozeUntil=ahead)
