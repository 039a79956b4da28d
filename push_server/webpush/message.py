"""What goes to a push service, and what comes back."""

import re
from functools import lru_cache
from typing import Final

from msgspec import Struct

URGENCIES: Final = ("very-low", "low", "normal", "high")
MAX_TTL: Final = 28 * 86400
"""Seconds: four weeks, which is also where Chrome's push service cuts."""

_TOPIC = re.compile(r"[A-Za-z0-9_-]{1,32}", re.ASCII)
_AUTHORIZATION = re.compile(r"[!-~]+(?: [!-~]+)*", re.ASCII)


class PushMessage(Struct, frozen=True, gc=False):
    """One request of RFC 8030 §5. `ref` is the caller's own id and comes back with the answer; `ttl` in seconds.

    `once`: never posted again where a connection ended without an answer.
    """

    ref: int
    endpoint: str
    body: bytes
    authorization: str
    ttl: int
    urgency: str = "normal"
    topic: str | None = None
    once: bool = False


class PushResponse(Struct, frozen=True, gc=False):
    """The answer to one message. `status` None: there was none, and `error` says why; with a refusing status, `error`
    holds the beginning of the response's body. `retry_after` in seconds. `posted`: whether it may have arrived.
    """

    ref: int
    status: int | None
    retry_after: float | None = None
    error: str | None = None
    posted: bool = True


def fields(message: PushMessage) -> tuple[tuple[str, str], ...]:
    """The message's header fields but for its topic and length. The usual ones are kept: the same tuple each time.

    Raises ValueError for a value that a push service must refuse, or that would smuggle in another header.
    """
    if message.topic is not None and not _TOPIC.fullmatch(message.topic):
        raise ValueError("a topic is 1 to 32 characters of base64url")
    return _fields(message.authorization, message.ttl, message.urgency)


@lru_cache(maxsize=256)
def _fields(authorization: str, ttl: int, urgency: str) -> tuple[tuple[str, str], ...]:
    if not 0 <= ttl <= MAX_TTL:
        raise ValueError(f"a TTL is 0 to {MAX_TTL} seconds")
    if urgency not in URGENCIES:
        raise ValueError(f"an urgency is one of {', '.join(URGENCIES)}")
    if not _AUTHORIZATION.fullmatch(authorization):
        raise ValueError("the authorization holds characters that no header may")
    return (
        ("authorization", authorization),
        ("ttl", str(ttl)),
        ("urgency", urgency),
        ("content-encoding", "aes128gcm"),
        ("content-type", "application/octet-stream"),
        ("user-agent", "Homing"),
    )
