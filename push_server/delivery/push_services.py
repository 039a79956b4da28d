"""How a site's push services are: what they answered in the last minutes, how fast they are posted to, what waits."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any, Final

import redis

from push_server.db import SiteSession
from push_server.delivery.exchange import client, counts_key, lane_key, places_key, service_key
from push_server.delivery.lane import LATENCIES

MINUTES: Final = 5
"""Of counts, the present one included."""
MOST: Final = 100
"""Push services told of, those posted to last; Windows' has a name for each region."""

# The thousand that are due first say how late an origin is, without reading a campaign of millions.
_WAITING = """
select o.origin, min(w.due_at), min(coalesce(w.not_before, p.created_at))
from dispatch p cross join lateral (
    (select subscription_id, due_at, not_before from delivery
     where dispatch_id = p.id and state = 'queued' order by due_at limit 1000)
    union all
    (select subscription_id, due_at, not_before from delivery
     where dispatch_id = p.id and state in ('sending', 'retry') order by due_at limit 1000)
) w join subscription s on s.id = w.subscription_id and s.site_id = %(site)s
cross join lateral (select substring(s.endpoint from '^[^/]*//[^/]*') as origin) o
where p.site_id = %(site)s and p.state <> 'done' and (w.not_before is null or w.not_before <= %(now)s)
group by o.origin
"""


@dataclass(slots=True)
class PushService:
    """A push service as the site's workers find it. `answers`: by outcome, of the last minutes; rate: a second."""

    origin: str
    breaker: str = "closed"
    again_at: datetime | None = None
    rate: float | None = None
    engagement_until: datetime | None = None
    answers: Counter[str] = field(default_factory=Counter)
    latencies: list[int] = field(default_factory=lambda: [0] * (len(LATENCIES) + 1))
    due_since: datetime | None = None
    unsent_since: datetime | None = None

    def latency(self, share: float) -> float | None:
        """Milliseconds in which this share of the answers came, found within its class by proportion."""
        wanted = share * sum(self.latencies)
        if not wanted:
            return None
        ends = (0, *LATENCIES, LATENCIES[-1])
        for place, (count, until) in enumerate(zip(self.latencies, accumulate(self.latencies), strict=True)):
            if until >= wanted:
                part = 1 - (until - wanted) / count
                return round(ends[place] + part * (ends[place + 1] - ends[place]), 1)
        return None


def push_services(session: SiteSession, now: datetime) -> tuple[list[PushService], bool]:
    """The site's push services by origin, and whether Redis answered, where all but what waits is from."""
    found: dict[str, PushService] = {}
    try:
        found = {one.origin: one for one in _from_redis(session.site_id, now)}
        live = True
    except redis.RedisError:
        live = False
    waiting = session.raw.execute(_WAITING, {"site": session.site_id, "now": now})
    for origin, due_at, planned_at in waiting.fetchall():
        one = found.setdefault(origin, PushService(origin))
        one.due_since = due_at if due_at is not None and due_at <= now else None
        one.unsent_since = planned_at
    return sorted(found.values(), key=lambda one: one.origin), live


def origins(site_id: int) -> list[str]:
    """The origins that the site posted to within a day. redis.RedisError when Redis does not answer."""
    members: Any = client().zrevrange(places_key(site_id), 0, MOST - 1)
    return [member.decode() for member in members]


def _from_redis(site_id: int, now: datetime) -> list[PushService]:
    places, minute = origins(site_id), int(now.timestamp()) // 60
    with client().pipeline(transaction=False) as pipeline:
        for origin in places:
            pipeline.hgetall(service_key(origin))
            pipeline.hgetall(lane_key(origin, site_id))
            for ago in range(MINUTES):
                pipeline.hgetall(counts_key(origin, site_id, minute - ago))
        rows = iter(pipeline.execute())
    return [_read(origin, next(rows), next(rows), [next(rows) for _ in range(MINUTES)], now) for origin in places]


def _read(
    origin: str,
    service: Mapping[bytes, bytes],
    lane: Mapping[bytes, bytes],
    minutes: list[Mapping[bytes, bytes]],
    now: datetime,
) -> PushService:
    one = PushService(origin)
    open_until, hold_until = _instant(service, b"open_until"), _instant(lane, b"hold_until")
    if float(service.get(b"openings", 0)):
        one.breaker = "open" if open_until > now else "half_open"
    again_at = max(open_until, hold_until)
    one.again_at = again_at if again_at > now else None
    one.rate = float(lane.get(b"rate", 0)) or None
    engagement_until = _instant(lane, b"engagement_until")
    one.engagement_until = engagement_until if engagement_until > now else None
    for counts in minutes:
        for name, count in counts.items():
            what, _, place = name.decode().partition(":")
            if what == "ms":
                one.latencies[int(place)] += int(count)
            else:
                one.answers[what] += int(count)
    return one


def _instant(row: Mapping[bytes, bytes], name: bytes) -> datetime:
    return datetime.fromtimestamp(float(row.get(name, 0)), UTC)
