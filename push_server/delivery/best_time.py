"""The hour of his day in which a customer is best reached, from his own clicks and visits (docs/decisions/0018)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from push_server.db import SiteSession
from push_server.delivery.models import COUNTED
from push_server.webpush.message import MAX_TTL

LOOK_BACK: Final = timedelta(days=90)
"""A quarter: long enough for who comes once a week, short enough to follow him into another life."""
ENOUGH: Final = 5
"""Hours in which he came; with fewer, one evening decides."""
CLICK: Final = 3.0
"""A click says that a message was welcome in that hour, a visit only that he was there."""
VISITS: Final = ("Page Viewed", "Product Viewed")

# All zones differ from UTC by quarters of an hour, so a quarter lies in one hour of each of them.
_SEEN = f"""
select o.customer_id, o.quarter, bool_or(o.clicked) from (
    select e.customer_id, floor(extract(epoch from e.ts) / 900)::bigint as quarter, false as clicked
    from term t join event e on e.kind_id = t.id
    where t.site_id = %(site)s and t.what = 'event' and t.text = any(%(visits)s)
    and e.customer_id = any(%(customers)s) and e.ts > %(since)s and e.ts <= %(now)s
    union all
    select d.customer_id, floor(extract(epoch from r.at) / 900)::bigint, true
    from delivery d join receipt r on r.delivery_id = d.id and r.kind = 'clicked'
    where d.site_id = %(site)s and d.customer_id = any(%(customers)s) and r.at > %(since)s and r.at <= %(now)s
    and {COUNTED} > %(oldest)s
) o group by o.customer_id, o.quarter
"""  # noqa: S608 - no text from outside

Weights = list[float]


@dataclass(frozen=True, slots=True)
class BestHours:
    """Hours, 0 to 23, of customers' own days; `common`: of all who were looked at, None when too little is known."""

    own: Mapping[int, int]
    common: int | None


def best_hours(session: SiteSession, zones: Mapping[int, str], now: datetime) -> BestHours:
    """The best hours of these customers, given their time zones, as far as there is enough to tell."""
    rows = session.raw.execute(
        _SEEN,
        {
            "site": session.site_id,
            "visits": list(VISITS),
            "customers": list(zones),
            "since": now - LOOK_BACK,
            "oldest": now - LOOK_BACK - timedelta(seconds=MAX_TTL),  # it may have waited so long for its browser
            "now": now,
        },
    )
    seen: dict[int, dict[datetime, float]] = {}
    for customer_id, quarter, clicked in rows:
        hour = _local_hour(quarter, zones[customer_id])
        hours = seen.setdefault(customer_id, {})
        hours[hour] = max(hours.get(hour, 0.0), CLICK if clicked else 1.0)
    return judge(seen)


def judge(seen: Mapping[int, Mapping[datetime, float]]) -> BestHours:
    """The best hours, given the local hours in which each customer came and what each of them weighs."""
    everybody = _smooth(_by_hour(item for hours in seen.values() for item in hours.items()))
    total = sum(everybody) or 1.0
    own = {}
    for customer_id, hours in seen.items():
        if len(hours) >= ENOUGH:
            weights = _smooth(_by_hour(hours.items()))
            # Where he himself leaves it open, what all others do decides: together it weighs less than one visit.
            own[customer_id] = _best([mine + all_ / total / 2 for mine, all_ in zip(weights, everybody, strict=True)])
    is_known = sum(map(len, seen.values())) >= ENOUGH
    return BestHours(own, _best(everybody) if is_known else None)


def _local_hour(quarter: int, zone: str) -> datetime:
    here = datetime.fromtimestamp(quarter * 900, UTC).astimezone(ZoneInfo(zone))
    return here.replace(minute=0, second=0, tzinfo=None)


def _by_hour(items: Iterable[tuple[datetime, float]]) -> Weights:
    weights = [0.0] * 24
    for hour, weight in items:
        weights[hour.hour] += weight
    return weights


def _smooth(weights: Weights) -> Weights:
    """An hour gains by half of its neighbours, round the clock: 8:55 and 9:05 are one habit."""
    return [weights[at] + (weights[at - 1] + weights[(at + 1) % 24]) / 2 for at in range(24)]


def _best(weights: Sequence[float]) -> int:
    return max(range(24), key=weights.__getitem__)
