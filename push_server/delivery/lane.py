"""How fast this worker may post to a push service for a site, and what it saw there: tokens leased from all workers'
common state a hundred at a time, so that a message costs no round trip.
"""

import logging
import random
import time
from bisect import bisect_left
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

import redis

from push_server import clock
from push_server.delivery.exchange import Report, Told, exchange, list_place
from push_server.webpush.response import Outcome, Verdict

log = logging.getLogger(__name__)

BLOCK: Final = 100
"""Messages asked for at once: 20 ms of a worker at full speed."""
RETRIES_BLOCK: Final = 20
FRESH_FOR: Final = 0.25
"""Seconds that a worker goes by what it was told; so soon all of them know of a breaker that opened."""
WITHOUT_REDIS: Final = 5.0
"""Seconds in which Redis is not asked again after it did not answer; meanwhile there are no limits."""
LIST_EVERY: Final = 60.0
"""Seconds between two notes that the site posts to the push service."""
MAX_LANES: Final = 1024
"""Kept in a process: sites × push services."""
LATENCIES: Final = (5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
"""Milliseconds: the upper ends of the classes in which latencies are counted."""

_CLASSES: Final = [f"ms:{number}" for number in range(len(LATENCIES) + 1)]
_rng = random.Random()


class Lane:
    """One site's way to one push service, as this process knows it. For one thread."""

    redis_away_until = -1e9
    """On the monotonic clock, for all lanes of the process."""

    def __init__(self, origin: str, site_id: int) -> None:
        self.origin, self.site_id = origin, site_id
        self._report = Report()
        self._told = Told()
        self._told_at = self._listed_at = -1e9
        self._granted = self._retries = self._places = self._place = 0
        self._probe: int | None = None

    @property
    def limited(self) -> bool:
        """Whether there is a rate, because the push service refused us: a refusal is then no delivery's own trouble."""
        return self._told.limited

    def is_probe(self, ref: int) -> bool:
        """Whether this delivery was let through to try a push service that failed: its trouble is no delivery's own."""
        return ref == self._probe

    def take(self, ref: int, *, retry: bool, left: int = BLOCK) -> datetime | None:
        """None: the delivery may be posted now. Otherwise when to look at it again.

        `left`: how many will ask at most, this one included, so that no place in line is kept for nobody.
        """
        if time.monotonic() - self._told_at >= FRESH_FOR or not (self._granted or self._places):
            self._exchange(min(BLOCK, left))
        if self._granted and (self._retries or not retry):
            self._granted -= 1
            self._retries -= retry
            self._report.posted += 1
            self._report.fresh += not retry
            if self._told.probe:
                self._probe = ref
            return None
        if self._granted:
            return clock.now() + timedelta(seconds=_rng.uniform(1, 3))
        self._places = max(0, self._places - 1)
        self._place += 1
        at = self._told.from_ + self._told.step * (self._place + _rng.random())
        return datetime.fromtimestamp(at, UTC)

    def give_back(self, *, retry: bool) -> None:
        """The delivery that was let through is not posted after all."""
        self._granted += 1
        self._retries += retry
        self._report.posted -= 1
        self._report.fresh -= not retry

    def note(self, ref: int, verdict: Verdict, status: int | None, seconds: float, *, retry: bool) -> None:
        """What the push service answered, `seconds` after the message was made."""
        report, outcome = self._report, verdict.outcome
        match outcome:
            case Outcome.ACCEPTED:
                report.accepted += 1
                report.repaid += retry
            case Outcome.THROTTLED:
                report.throttled += 1
                report.hold_lane = max(report.hold_lane, verdict.retry_after or 0)
            case Outcome.RETRY:
                report.failed += 1
                report.busy += status == 503
                report.hold_service = max(report.hold_service, verdict.retry_after or 0)
            case _ if status is None:
                return  # the client did not post it
            case _:
                report.refused += 1
        report.counts[str(outcome)] += 1
        if status is not None:
            report.counts[_CLASSES[bisect_left(LATENCIES, seconds * 1000)]] += 1
        if ref == self._probe:
            self._probe = None
            report.probe = "failed" if outcome is Outcome.RETRY else "passed"
        if report.probe or (report.failed + report.throttled and time.monotonic() - self._told_at >= FRESH_FOR):
            self._exchange(0)

    def rest(self) -> None:
        """Hand in what is not told yet, and what was leased and not used; then begin with asking anew."""
        if self._granted or self._places or self._report.counts:
            self._exchange(0)
        self._told_at = -1e9

    def _exchange(self, wanted: int) -> None:
        now, report = clock.now(), self._report
        report.unused, report.unused_retries, report.unused_places = self._granted, self._retries, self._places
        report.wanted, report.wanted_retries = wanted, min(wanted, RETRIES_BLOCK)
        self._report = Report()
        self._told_at = time.monotonic()
        self._told = Told(granted=wanted, retries=wanted)
        if self._told_at >= Lane.redis_away_until:
            try:
                self._told = exchange(self.origin, self.site_id, report, now)
                self._list(now)
            except redis.RedisError as error:
                log.warning("push services are posted to without common limits while Redis is away: %s", error)
                Lane.redis_away_until = self._told_at + WITHOUT_REDIS
        self._granted, self._retries = self._told.granted, self._told.retries
        self._places, self._place = max(0, wanted - self._granted), 0

    def _list(self, now: datetime) -> None:
        if self._told_at - self._listed_at >= LIST_EVERY:
            self._listed_at = self._told_at
            list_place(self.origin, self.site_id, now)


@lru_cache(maxsize=MAX_LANES)
def lane(origin: str, site_id: int) -> Lane:
    """This process's lane, which outlives a chunk."""
    return Lane(origin, site_id)


def origin_of(endpoint: str) -> str:
    """What comes before the path: cheaper than `guard.check_endpoint`, which has seen the endpoint before."""
    return endpoint[: endpoint.find("/", 8)]
