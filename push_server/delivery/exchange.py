"""What the workers tell each other of push services, through Redis: one script, called once for many messages.

All of it may be lost at any time: then the next exchange begins from the defaults, which are no limits. Decisions are
in `exchange.lua`; docs/decisions/0017-politeness-to-push-services.md says why they are so.
"""

import json
import logging
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from importlib.resources import files
from typing import Final

import msgspec
import redis
from msgspec import Struct, field
from redis.commands.core import Script

from push_server.settings import settings
from push_server.webpush.response import JUDGES_ENGAGEMENT

log = logging.getLogger(__name__)

LIMITS: Final[dict[str, float]] = {
    # The breaker. A window is long enough for a timeout (10 s) to be seen in it.
    "window": 10,
    "failures_in_a_row": 20,  # a worker has 256 messages under way, so one that hangs shows within one timeout
    "failures_of_window": 50,  # … or these, when they are half of all answers
    "first_open": 5,  # seconds, doubling with each probe that fails: a first retry comes within ten seconds
    "longest_open": 60,  # a probe a minute is no burden, and what waits goes on so soon after the end
    "longest_hold": 300,  # the most that a Retry-After holds up a push service, or a site's lane to it, at once
    "probe_for": 15,  # after this a probe that nobody answered for is lost: a timeout, and 5 s for a slow worker
    "probe_wait": 2,  # what is not the probe looks again after it
    # The rate. Fewer refusals than these concern single subscriptions (RFC 8030 §8.4), not us.
    "refusals": 5,
    "refused_share": 0.1,
    "least_rate": 20,  # messages a second: one that refuses a tenth of all, whatever comes, is not starved of the rest
    "regain": 25,  # seconds from half the rate to the whole one again: a second of refusals in 25
    "free_at": 4,  # × the rate at which refusals began: no limit is left to be found
    "line": 60,  # seconds ahead that the line of waiting deliveries may reach, so that it feels a better rate soon
    "free_line": 2000,  # a second: how what waited for a breaker is spread
    # Chrome's engagement limit: 1,000 a minute at least pass.
    "engagement_refusals": 20,
    "engagement_accepted": 2000,  # in a minute; who gets more through is refused for another reason
    "engagement_rate": 15,  # a second: 900 a minute, so that nothing is refused while others of the minute are late
    "engagement_for": 86400,  # sites are judged daily
    "engagement_line": 900,
    # Retries: a fifth of what is fresh, as Finagle's and gRPC's budgets, and never less than 10 a second.
    "retry_share": 0.2,
    "retry_rate": 10,
    "retry_burst": 1000,
    "kept": 90000,  # seconds: a little longer than the engagement limit
    "counts_kept": 900,
    "skew": 5,  # seconds that the clocks of workers may be apart
}
PLACES_KEPT: Final = 86400
"""Seconds that a push service is listed for a site after its last message."""

_LIMITS = json.dumps(LIMITS)
_SCRIPT = files("push_server.delivery").joinpath("exchange.lua").read_text()


class Report(Struct):
    """What became of a lane's messages since the last exchange, and what it asks for. Holds in seconds."""

    accepted: int = 0
    throttled: int = 0
    failed: int = 0
    busy: int = 0  # of those that failed: 503
    refused: int = 0
    posted: int = 0
    fresh: int = 0
    repaid: int = 0
    hold_service: float = 0
    hold_lane: float = 0
    probe: str = ""
    unused: int = 0
    unused_retries: int = 0
    unused_places: int = 0
    wanted: int = 0
    wanted_retries: int = 0
    judges_engagement: bool = False
    counts: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Told:
    """What may be posted now; the rest stands in line from `from_` (seconds since 1970), `step` apart."""

    state: str = "closed"
    probe: bool = False
    granted: int = 0
    retries: int = 0
    from_: float = 0
    step: float = 0
    limited: bool = False
    engagement: bool = False
    rate: float = 0


def service_key(origin: str) -> str:
    """What all sites know of a push service."""
    return f"push:{{{origin}}}"


def lane_key(origin: str, site_id: int) -> str:
    """What a site's workers know of it."""
    return f"push:{{{origin}}}:{site_id}"


def counts_key(origin: str, site_id: int, minute: int) -> str:
    """What became of a site's messages to it in one minute since 1970."""
    return f"push:{{{origin}}}:{site_id}:{minute}"


def places_key(site_id: int) -> str:
    """The push services that a site posts to, by the instant of the last message."""
    return f"push:site:{site_id}"


def client() -> redis.Redis:
    """A connection that gives up soon: what it is for can be done without, and the network must not wait for it."""
    return _client(settings().require_redis_url())


@lru_cache(maxsize=1)
def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=0.5, socket_connect_timeout=0.5)


@lru_cache(maxsize=1)
def _script(url: str) -> Script:
    """The script, named by its hash; a Redis that does not have it yet is given it."""
    return _client(url).register_script(_SCRIPT)


def exchange(origin: str, site_id: int, report: Report, now: datetime) -> Told:
    """Hand in the report and get what may be posted. redis.RedisError when Redis does not answer in half a second."""
    at = now.timestamp()
    report.judges_engagement = origin in JUDGES_ENGAGEMENT
    keys = [service_key(origin), lane_key(origin, site_id), counts_key(origin, site_id, int(at) // 60)]
    script = _script(settings().require_redis_url())
    told = msgspec.json.decode(script(keys, [f"{at:.6f}", msgspec.json.encode(report), _LIMITS]))
    return Told(
        state=told["state"],
        probe=told["probe"],
        granted=told["granted"],
        retries=told["retries"],
        from_=float(told["from"]),
        step=float(told["step"]),
        limited=told["limited"],
        engagement=told["engagement"],
        rate=float(told["rate"]),
    )


def list_place(origin: str, site_id: int, now: datetime) -> None:
    """Note that the site posts to this push service. redis.RedisError as above."""
    key, at = places_key(site_id), now.timestamp()
    with client().pipeline(transaction=False) as pipeline:
        pipeline.zadd(key, {origin: at})
        pipeline.zremrangebyscore(key, "-inf", at - PLACES_KEPT)
        pipeline.expire(key, PLACES_KEPT)
        pipeline.execute()


def forget(origin: str, site_id: int) -> None:
    """Begin anew with a push service: no rate, no engagement limit; the breaker is tried at once."""
    client().delete(lane_key(origin, site_id))
    if client().exists(service_key(origin)):
        client().hset(service_key(origin), mapping={"open_until": 0, "probe_until": 0})
