"""The campaign document (docs/campaigns.md): its shape, its limits, and what this version does not do yet.

What is not built is refused (`not_supported`) rather than accepted and ignored.
"""

import json
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from push_server.campaigns.experiment import Experiment, as_sent
from push_server.campaigns.schedule import WITH_EXPERIMENT, Schedule
from push_server.delivery.message import LINK, Message
from push_server.delivery.templates import TemplateFault, check, is_static
from push_server.errors import Fault
from push_server.fields import Body, Id, Name, json_faults, storable
from push_server.sites.caps import MARKETING, MessageClass
from push_server.webpush.message import MAX_TTL

DEFAULT_TTL: Final = 86_400
DEFAULT_PRIORITY: Final = 500
MOST_POINTS: Final = 2**53
"""Whole numbers up to here are the same in every JSON reader."""
MAX_DATA: Final = 3_500
"""Bytes of `data` as JSON; a push message holds under 4,000."""


def _template(text: str) -> str:
    try:
        check(storable(text))
    except TemplateFault as fault:
        raise PydanticCustomError("template_syntax", "{why}", {"why": str(fault)}) from None
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("blank", "must not be blank")
    return text


def _link(text: str) -> str:
    if is_static(text) and not LINK.fullmatch(text):
        raise PydanticCustomError("url", "must be an absolute http(s) address, or a template of one")
    return text


def _weight(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise PydanticCustomError("number_type", "must be a number")
    return value


def _true_or(value: object, listed: ValidatorFunctionWrapHandler) -> object:
    # by hand, since a union would name its members in the paths of its faults, and take 1 for true
    if value is not True and not isinstance(value, list):
        raise PydanticCustomError("true_or_list", "must be true, or a list of product ids")
    return value if value is True else listed(value)


def _as_written(value: float) -> float | int:
    return int(value) if float(value).is_integer() else value


Text = Annotated[str, StringConstraints(strict=True, max_length=10_000), AfterValidator(_template)]
Title = Annotated[Text, AfterValidator(_not_blank)]
Link = Annotated[
    str, StringConstraints(strict=True, max_length=4_096), AfterValidator(_template), AfterValidator(_link)
]
Number = Annotated[float, BeforeValidator(_weight), PlainSerializer(_as_written, return_type=float)]


Products = Annotated[list[Id], Field(min_length=1, max_length=100)]
Purchases = Annotated[
    Products,
    WrapValidator(_true_or, json_schema_input_type=Literal[True] | Products),
    PlainSerializer(lambda value: value, return_type=Any),
]


class Action(Body):
    """A button."""

    action: Id
    title: Title
    url: Link


class Notification(Body):
    """What the customer sees. Every text is a Liquid template."""

    title: Title
    body: Text = ""
    icon: Link | None = None
    image: Link | None = None
    badge: Link | None = None
    url: Link
    actions: list[Action] | None = Field(default=None, max_length=2, description="browsers show two at most")
    tag: Text | None = None
    require_interaction: bool | None = None
    silent: bool | None = None
    data: dict[str, Any] | None = Field(default=None, description="given to the page; `homing` is ours")


class Variant(Body):
    """One of the notifications that customers are divided among, by weight."""

    weight: Annotated[Number, Field(gt=0, le=1_000_000, allow_inf_nan=False)] = 1
    notification: Notification


class Audience(Body):
    """Members of any included segment who are in no excluded one."""

    include: list[Id] = Field(min_length=1, max_length=100, description="segment ids")
    exclude: list[Id] = Field(default_factory=list, max_length=100)


class Guards(Body):
    """What must hold at the moment of sending."""

    in_stock: list[Id] | None = Field(default=None, max_length=100, description="product ids, none of them sold out")
    lowest_price_30d: bool | None = Field(
        default=None, description="none of the products in `in_stock` was cheaper in the last 30 days"
    )
    not_bought: Purchases | None = Field(
        default=None,
        description="the customer has ordered nothing, or none of these product ids, since the message was planned",
    )
    points_at_least: int | None = Field(default=None, ge=1, le=MOST_POINTS, description="the customer still has them")


class CampaignIn(Body):
    """A message to segments."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "Autumn sale",
                "audience": {"include": ["0199b3a0-6c0e-7f6e-9d52-0c8f1f6c3a11"]},
                "variants": [
                    {
                        "weight": 1,
                        "notification": {
                            "title": "{{ customer.first_name | default: 'Hello' }}, the sale has begun",
                            "body": "20 % off until Sunday",
                            "url": "https://shop.example/sale",
                        },
                    }
                ],
                "ttl": 86400,
                "urgency": "normal",
            }
        }
    )

    name: Name
    audience: Audience
    variants: list[Variant] = Field(min_length=1, max_length=20)
    holdout_percent: Annotated[Number, Field(ge=0, le=100, allow_inf_nan=False)] | None = None
    ttl: int = Field(default=DEFAULT_TTL, ge=0, le=MAX_TTL, description="seconds")
    urgency: Literal["very-low", "low", "normal", "high"] = "normal"
    topic: str | None = Field(default=None, pattern="^[A-Za-z0-9_-]{1,32}$")
    schedule: Schedule | None = None
    quiet_hours: Literal["defer", "drop", "ignore"] = "defer"
    cap: Literal["respect", "ignore"] = "respect"
    message_class: MessageClass = Field(
        default=MARKETING, description="what caps count by; `transactional` passes caps and quiet hours"
    )
    priority: int | None = Field(default=None, ge=0, le=1000, description="higher is more important; 500 if left out")
    throttle_per_minute: int | None = Field(
        default=None, ge=1, le=1_000_000, description="deliveries that become due in a minute"
    )
    delivery: Literal["at-least-once", "at-most-once"] = Field(
        default="at-least-once", description="what becomes of messages of which nobody knows whether they were posted"
    )
    experiment: Experiment | None = Field(default=None, description="find the best variant first")
    devices: Literal["all", "latest"] = Field(
        default="all", description="all browsers of a customer, or the one that was seen last"
    )
    guards: Guards | None = None

    def stored(self) -> dict[str, Any]:
        """The document as it is kept: defaults filled in, what is absent left out."""
        return self.model_dump(mode="json", exclude_none=True, exclude={"name"})

    def faults(self) -> list[Fault]:
        """What the shape alone does not tell, each with its JSON path; the schedule tells its own."""
        found: list[Fault] = []
        for at, variant in enumerate(self.variants):
            found += _data_faults(variant.notification.data, f"$.variants[{at}].notification.data")
            found += _action_faults(variant.notification.actions or [], f"$.variants[{at}].notification.actions")
        if self.guards is not None and self.guards.lowest_price_30d and not self.guards.in_stock:
            why = "needs the products whose prices it is about: name them in `guards.in_stock`"
            found.append(Fault("$.guards.lowest_price_30d", why, "no_products"))
        return found + self._experiment_faults()

    def _experiment_faults(self) -> list[Fault]:
        if self.experiment is None:
            return []
        found = []
        if len(self.variants) < 2:
            found.append(Fault("$.experiment", "needs two variants or more to choose from", "no_variants"))
        if self.throttle_per_minute is not None:
            found.append(Fault("$.throttle_per_minute", WITH_EXPERIMENT, "with_experiment"))
        return found + (self.schedule.experiment_faults("$.schedule") if self.schedule is not None else [])


def message_of(document: dict[str, Any]) -> Message:
    """What the sender needs of a stored document."""
    guards = document.get("guards", {})
    return Message(
        notifications=[variant["notification"] for variant in document["variants"]],
        weights=[variant["weight"] for variant in document["variants"]],
        ttl=document["ttl"],
        urgency=document["urgency"],
        topic=document.get("topic"),
        in_stock=guards.get("in_stock", []),
        lowest_price_30d=guards.get("lowest_price_30d", False),
        not_bought=guards.get("not_bought"),
        points_at_least=guards.get("points_at_least"),
        latest_device=document.get("devices") == "latest",
        holdout_percent=document.get("holdout_percent", 0),
        local_time=document.get("schedule", {}).get("local_time"),
        best_time=document.get("schedule", {}).get("best_time", False),
        throttle_per_minute=document.get("throttle_per_minute"),
        quiet_hours=document["quiet_hours"],
        message_class=document.get("message_class", MARKETING),
        cap=document["cap"],
        at_most_once=document.get("delivery") == "at-most-once",
        experiment=as_sent(document.get("experiment")),
        priority=document.get("priority", DEFAULT_PRIORITY),
    )


def _data_faults(data: dict[str, Any] | None, path: str) -> list[Fault]:
    if data is None:
        return []
    if faults := json_faults(data, path):
        return faults
    if "homing" in data:
        return [Fault(f"{path}.homing", "is where the delivery's own data goes; use another name", "reserved")]
    if len(json.dumps(data, ensure_ascii=False).encode()) > MAX_DATA:
        return [Fault(path, f"takes at most {MAX_DATA} bytes of JSON", "too_large")]
    return _text_faults(data, path)


def _text_faults(value: Any, path: str) -> list[Fault]:
    if isinstance(value, dict):
        return [fault for key, item in value.items() for fault in _text_faults(item, f"{path}.{key}")]
    if isinstance(value, list):
        return [fault for at, item in enumerate(value) for fault in _text_faults(item, f"{path}[{at}]")]
    if isinstance(value, str):
        try:
            check(value)
        except TemplateFault as fault:
            return [Fault(path, str(fault), "template_syntax")]
    return []


def _action_faults(actions: list[Action], path: str) -> list[Fault]:
    names = [action.action for action in actions]
    return [
        Fault(f"{path}[{at}].action", "is the name of another action already", "duplicate")
        for at, name in enumerate(names)
        if name in names[:at]
    ]
