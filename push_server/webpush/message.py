"""What goes to a push service, and what comes back."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

URGENCIES: Final = ("very-low", "low", "normal", "high")
MAX_TTL: Final = 28 * 86400
"""Seconds: four weeks, which is also where Chrome's push service cuts."""

_TOPIC = re.compile(r"[A-Za-z0-9_-]{1,32}", re.ASCII)
_AUTHORIZATION = re.compile(r"[!-~]+(?: [!-~]+)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class PushMessage:
    """One request of RFC 8030 §5. `ref` is the caller's own id and comes back with the answer; `ttl` in seconds."""

    ref: int
    endpoint: str
    body: bytes
    authorization: str
    ttl: int
    urgency: str = "normal"
    topic: str | None = None


@dataclass(frozen=True, slots=True)
class PushResponse:
    """The answer to one message. `status` None: there was none, and `error` says why; with a refusing status, `error`
    holds the beginning of the response's body. `retry_after` in seconds.
    """

    ref: int
    status: int | None
    retry_after: float | None = None
    error: str | None = None


def headers(message: PushMessage) -> list[str]:
    """The message's header lines. Raises ValueError for a value that a push service must refuse, or that would
    smuggle in another header.
    """
    common = _common(message.authorization, message.ttl, message.urgency)
    if message.topic is None:
        return common
    if not _TOPIC.fullmatch(message.topic):
        raise ValueError("a topic is 1 to 32 characters of base64url")
    return [*common, f"Topic: {message.topic}"]


@lru_cache(maxsize=256)
def _common(authorization: str, ttl: int, urgency: str) -> list[str]:
    if not 0 <= ttl <= MAX_TTL:
        raise ValueError(f"a TTL is 0 to {MAX_TTL} seconds")
    if urgency not in URGENCIES:
        raise ValueError(f"an urgency is one of {', '.join(URGENCIES)}")
    if not _AUTHORIZATION.fullmatch(authorization):
        raise ValueError("the authorization holds characters that no header may")
    return [
        f"Authorization: {authorization}",
        f"TTL: {ttl}",
        f"Urgency: {urgency}",
        "Content-Encoding: aes128gcm",
        "Content-Type: application/octet-stream",
        "Accept:",  # libcurl's own, left out
        "Expect:",
    ]
