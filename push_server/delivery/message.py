"""From a campaign's notification to the bytes that are encrypted: templates filled in, links checked, JSON of the
Declarative Web Push document (which our service worker reads in browsers that do not).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypedDict

from push_server.delivery.templates import TemplateFault, is_static, reads, render
from push_server.sites.caps import MARKETING, TRANSACTIONAL

WEB_PUSH: Final = 8030
LINK = re.compile(r"https?://[^\s/?#@]+(?:[/?#]\S*)?", re.IGNORECASE)
"""An absolute http(s) address without user info."""

_OWN = {"require_interaction": "requireInteraction", "silent": "silent"}
_IMAGES = ("icon", "image", "badge")
_TOKEN, _NAME = "\0token", "\0name"  # stand-ins that no text can equal: PostgreSQL stores no NUL


@dataclass(frozen=True, slots=True)
class TextFault:
    """What is wrong with one text: JSON path within the notification, and what."""

    path: str
    message: str


class Experiment(TypedDict):
    """How the best variant is found: on `percent` of the audience, for at most so many `seconds`."""

    metric: str
    percent: float
    confidence: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Message:
    """A dispatch's frozen message. Times in seconds; `notifications` as in the campaign's variants."""

    notifications: list[dict[str, Any]]
    weights: list[float]
    ttl: int
    urgency: str = "normal"
    topic: str | None = None
    in_stock: list[str] = field(default_factory=list)
    lowest_price_30d: bool = False
    not_bought: list[str] | Literal[True] | None = None
    points_at_least: int | None = None
    latest_device: bool = False
    holdout_percent: float = 0
    local_time: str | None = None
    best_time: bool = False
    throttle_per_minute: int | None = None
    quiet_hours: str = "defer"
    message_class: str = MARKETING
    cap: str = "respect"
    priority: int = 500
    experiment: Experiment | None = None
    at_most_once: bool = False
    customer_ids: list[int] | None = None
    variant: int | None = None

    @property
    def passes(self) -> list[Literal["caps", "quiet_hours"]]:
        """What does not hold it up."""
        both: dict[Literal["caps", "quiet_hours"], str] = {"caps": self.cap, "quiet_hours": self.quiet_hours}
        return [name for name, kept in both.items() if kept == "ignore" or self.message_class == TRANSACTIONAL]

    @property
    def rank(self) -> int | None:
        """Its priority among messages that frequency caps limit, or None where they do not limit it."""
        return None if "caps" in self.passes else self.priority

    def as_document(self) -> dict[str, Any]:
        """As it is stored with the dispatch."""
        return {name: getattr(self, name) for name in self.__slots__}


def fill_in(notification: Mapping[str, Any], variables: Mapping[str, object]) -> tuple[dict[str, Any], list[TextFault]]:
    """The notification with every text rendered, and all that is wrong with it; nothing half-rendered may be sent."""
    faults: list[TextFault] = []

    def text(value: Any, path: str) -> Any:
        if isinstance(value, str):
            try:
                return render(value, variables)
            except TemplateFault as fault:
                faults.append(TextFault(path, str(fault)))
                return None
        if isinstance(value, dict):
            return {key: text(item, f"{path}.{key}") for key, item in value.items()}
        if isinstance(value, list):
            return [text(item, f"{path}[{at}]") for at, item in enumerate(value)]
        return value

    filled: dict[str, Any] = text(notification, "$")
    buttons = filled.get("actions", [])
    titles = [("$.title", filled["title"])]
    titles += [(f"$.actions[{at}].title", button["title"]) for at, button in enumerate(buttons)]
    faults += [TextFault(path, "is empty") for path, title in titles if title is not None and not title.strip()]
    links = [("$.url", filled["url"])]
    links += [(f"$.{name}", filled[name]) for name in _IMAGES if filled.get(name)]
    links += [(f"$.actions[{at}].url", button["url"]) for at, button in enumerate(buttons)]
    for path, link in links:
        if link is not None and not LINK.fullmatch(link):
            faults.append(TextFault(path, "is no absolute http(s) address"))
    return filled, faults


def names(value: Any, variable: str) -> bool:
    """Whether any text in a notification, or in a part of one, reads the variable."""
    if isinstance(value, dict):
        return any(names(item, variable) for item in value.values())
    if isinstance(value, list):
        return any(names(item, variable) for item in value)
    return isinstance(value, str) and reads(value, variable)


def document(filled: Mapping[str, Any], token: str, name: str, api: str) -> dict[str, Any]:
    """The push payload. `name`: the tag where none is given; `api`: where receipts go."""
    notification: dict[str, Any] = {
        "title": filled["title"],
        "body": filled.get("body", ""),
        "navigate": filled["url"],
    }
    notification |= {image: filled[image] for image in _IMAGES if filled.get(image)}
    notification |= {wire: filled[own] for own, wire in _OWN.items() if filled.get(own) is not None}
    if filled.get("actions"):
        notification["actions"] = [
            {"action": action["action"], "title": action["title"], "navigate": action["url"]}
            for action in filled["actions"]
        ]
    notification["tag"] = filled.get("tag") or name
    notification["data"] = {**filled.get("data", {}), "homing": {"delivery": token, "api": api}}
    return {"web_push": WEB_PUSH, "notification": notification}


def encode(payload: Mapping[str, Any]) -> bytes:
    """The payload as compact UTF-8."""
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()


class Composer:
    """Makes the payloads of one variant; where no text has a variable (`is_static`), all but two names is made once."""

    def __init__(self, notification: dict[str, Any], api: str) -> None:
        self._notification, self._api = notification, api
        self._faults: list[TextFault] = []
        self.is_static = _all_static(notification)
        if self.is_static:
            filled, self._faults = fill_in(notification, {})
            body = encode(document(filled, _TOKEN, _NAME, api)).replace(b"%", b"%%")
            self._form = re.sub(b'"\\\\u0000(token|name)"', rb'"%(\1)b"', body)

    def compose(self, variables: Mapping[str, object], token: str, name: str) -> tuple[bytes, list[TextFault]]:
        """The payload's bytes; with any fault they must not be sent."""
        if self.is_static:
            return self._form % {b"token": token.encode(), b"name": name.encode()}, self._faults
        filled, faults = fill_in(self._notification, variables)
        return (b"", faults) if faults else (encode(document(filled, token, name, self._api)), faults)


def _all_static(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_all_static, value.values()))
    if isinstance(value, list):
        return all(map(_all_static, value))
    return is_static(value) if isinstance(value, str) else True
