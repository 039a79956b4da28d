"""The one table of outcomes: what every answer of a push service means, whose fault it is, and when to try again."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Final

from push_server.webpush.message import PushResponse

MAX_RETRY_AFTER: Final = 24 * 3600.0
"""Seconds: a push service that asks for more gets another try after a day."""
MAX_DELAY: Final = 3600.0
"""Seconds: where doubling ends."""
FIRST_DELAY: Final = 2.0
"""Seconds, before jitter of half as much either way: the first retry comes after 1 to 3 s."""

NOT_SENT: Final = "not_sent"
"""Begins the `error` of a message that the client refused to post: no other try can end differently."""


class Outcome(StrEnum):
    """What follows from an answer."""

    ACCEPTED = "accepted"
    GONE = "gone"  # the subscription is no more: retire it
    RETRY = "retry"  # passing trouble of the service: the same message again later
    THROTTLED = "throttled"  # we post too much, to this subscription or to the service: the same message, later
    TOO_LARGE = "too_large"
    KEY_REJECTED = "key_rejected"  # our VAPID key or token, never the subscription's fault
    FAILED = "failed"  # our request, or a service that breaks the protocol; the subscription stays


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reason`: the delivery's (contract §3), None once accepted. `retry_after`: seconds that the service asked for."""

    outcome: Outcome
    reason: str | None = None
    retry_after: float | None = None


_ACCEPTED = Verdict(Outcome.ACCEPTED)
_FAILED = Verdict(Outcome.FAILED, "push_service_error")
_KEY_REJECTED = Verdict(Outcome.KEY_REJECTED, "vapid_rejected")
_TABLE: Final = {
    400: _FAILED,
    401: _KEY_REJECTED,
    403: _KEY_REJECTED,
    404: Verdict(Outcome.GONE, "gone"),
    410: Verdict(Outcome.GONE, "gone"),
    413: Verdict(Outcome.TOO_LARGE, "too_large"),
}
_PASSING: Final = (408, 425)
# Windows' service says 406 to a sender that posts too much, for up to a day; RFC 8030 §8.4 says 429. We ask for no
# content type, so 406 has no other meaning.
_THROTTLED: Final = (406, 429)
_KEY_REJECTED_TEXTS: Final = ("VapidPkHashMismatch", "UnauthorizedRegistration")
"""In the body of a 400: Apple's and Google's words for a key other than the subscription's, a 401 or 403 elsewhere."""

JUDGES_ENGAGEMENT: Final = frozenset({"https://fcm.googleapis.com"})
"""Origins that limit sites which send much to people who care little. Chrome's takes 1,000 messages a minute from
such a site and answers 429 to the others, for a day at first, up to 14 days
(developer.chrome.com/blog/web-push-rate-limits); nothing in the answer tells it from any other 429."""


def judge(response: PushResponse) -> Verdict:
    """What an answer means. No answer at all is passing trouble, like a 5xx; a redirect is none of the protocol's."""
    status = response.status
    if status is None:
        if response.error is not None and response.error.startswith(NOT_SENT):
            return _FAILED
        return Verdict(Outcome.RETRY, "push_service_error")
    if 200 <= status < 300:
        return _ACCEPTED
    if status in _THROTTLED:
        return Verdict(Outcome.THROTTLED, "push_service_error", response.retry_after)
    if status in _PASSING or status >= 500:
        return Verdict(Outcome.RETRY, "push_service_error", response.retry_after)
    if status == 400 and any(text in (response.error or "") for text in _KEY_REJECTED_TEXTS):
        return _KEY_REJECTED
    return _TABLE.get(status, _FAILED)


def retry_delay(attempt: int, retry_after: float | None, rng: random.Random) -> float:
    """Seconds to wait after the `attempt`-th try (1 is the first): 1 to 3, then doubling up to an hour, with jitter so
    that what failed together does not come back together; never before `retry_after`, which counts up to a day.
    """
    spread = rng.uniform(0.5, 1.5)
    delay = min(FIRST_DELAY * 2.0 ** min(max(attempt - 1, 0), 30), MAX_DELAY) * spread
    if retry_after is None:
        return delay
    return max(delay, min(max(retry_after, 0.0), MAX_RETRY_AFTER) * (1 + 0.1 * rng.random()))


def parse_retry_after(value: str, now: datetime) -> float | None:
    """Seconds from a `Retry-After` header, which holds seconds or an HTTP date (RFC 9110 §10.2.3); None if neither."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(float(value[:12]), MAX_RETRY_AFTER)
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return min(max((date - now).total_seconds(), 0.0), MAX_RETRY_AFTER)
