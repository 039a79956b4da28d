"""What `/v1/subscriptions` takes and gives."""

from typing import Annotated, Any, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from push_server import security
from push_server.errors import Invalid
from push_server.fields import BrowserBody, Id, Name, is_storable
from push_server.http import Page
from push_server.subscriptions.models import SubscriptionState
from push_server.webpush.encryption import check_public_key
from push_server.webpush.guard import check_endpoint

MAX_TOPICS = 50
_EXAMPLE_POINT = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"


def _bytes(value: object) -> bytes:
    try:
        return security.unb64url(cast(str, value))
    except (AttributeError, TypeError, ValueError):
        raise PydanticCustomError("base64url", "must be base64url text") from None


def _point(value: bytes) -> bytes:
    try:
        check_public_key(value)
    except ValueError:
        raise PydanticCustomError("public_key", "must be an uncompressed P-256 point of 65 bytes") from None
    return value


def _sixteen(value: bytes) -> bytes:
    if len(value) != 16:
        raise PydanticCustomError("auth", "must be 16 bytes")
    return value


def _push_service(endpoint: str) -> str:
    try:
        check_endpoint(endpoint)
    except Invalid as error:
        raise PydanticCustomError("endpoint_not_allowed", "{why}", {"why": error.detail}) from None
    return endpoint


Base64 = Annotated[bytes, BeforeValidator(_bytes, json_schema_input_type=str)]
Point = Annotated[Base64, AfterValidator(_point)]
Endpoint = Annotated[str, Field(max_length=4096)]
Topics = Annotated[list[Name], Field(max_length=MAX_TOPICS), AfterValidator(lambda topics: list(dict.fromkeys(topics)))]


class Keys(BrowserBody):
    """The browser's keys (RFC 8291 §2), base64url."""

    p256dh: Point
    auth: Annotated[Base64, AfterValidator(_sixteen)]


class PushSubscription(BrowserBody):
    """PushSubscription.toJSON() of the Push API."""

    endpoint: Annotated[Endpoint, AfterValidator(_push_service)]
    expirationTime: float | None = None
    keys: Keys


class SubscriptionIn(BrowserBody):
    """An opt-in: the browser's subscription and whose it is."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "subscription": {
                    "endpoint": "https://updates.push.services.mozilla.com/wpush/v2/gAAAAABm",
                    "expirationTime": None,
                    "keys": {
                        "p256dh": _EXAMPLE_POINT,
                        "auth": "BTBZMqHH6r4Tts7J_aSIgg",
                    },
                },
                "anonymousId": "4b5f1c2e-7f0a-4c7e-9a51-0d6b9d0a7f11",
                "userId": "customer-17",
                "topics": ["sales"],
                "context": {"locale": "hu-HU", "timezone": "Europe/Budapest"},
            }
        }
    )

    subscription: PushSubscription
    anonymousId: Id | None = None
    userId: Id | None = None
    userHash: str | None = Field(default=None, max_length=128)
    previousEndpoint: Endpoint | None = None
    topics: Topics | None = None
    context: dict[str, Any] = Field(default_factory=dict)
    applicationServerKey: Point | None = Field(
        default=None, description="the VAPID key it was made with; without it the one we know of, else the active one"
    )
    writeKey: str | None = Field(default=None, max_length=255)

    def told(self, name: str, longest: int) -> str | None:
        """A text of the context, which a browser fills: what is no usable text there counts as not given."""
        value = self.context.get(name)
        return value if isinstance(value, str) and 0 < len(value) <= longest and is_storable(value) else None


class EndpointIn(BrowserBody):
    """The subscription that a browser gives up."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"endpoint": "https://updates.push.services.mozilla.com/wpush/v2/gAAAAABm"}}
    )

    endpoint: Endpoint
    writeKey: str | None = Field(default=None, max_length=255)


class Created(BaseModel):
    """The subscription's id, and whether it is new."""

    id: str
    created: bool


class SubscriptionOut(BaseModel):
    """A subscription as the shop sees it: no keys, and of the endpoint its origin only, since it is a capability."""

    id: str
    external_id: str | None
    anonymous_id: str | None
    state: SubscriptionState
    push_service: str
    browser: str | None
    locale: str | None
    time_zone: str | None
    topics: list[str]
    created_at: str
    updated_at: str
    ended_at: str | None


class SubscriptionPage(Page):
    """A page of subscriptions."""

    data: list[SubscriptionOut]
