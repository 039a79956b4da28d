"""What many customers have at one instant: balance, what expires when, and tier. For messages that speak of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from push_server.db import SiteSession


@dataclass(slots=True)
class Standing:
    """A customer's points at an instant. `expiries`: instant and points, the earliest first; lots without one are not
    among them."""

    balance: int = 0
    tier: str | None = None
    expiries: list[tuple[datetime, int]] = field(default_factory=list)


def standings(session: SiteSession, customers: Sequence[int], at: datetime) -> dict[int, Standing]:
    """The standing of each of these customers; those without points or tier have an empty one."""
    found = {customer: Standing() for customer in customers}
    asked = {"site": session.site_id, "customers": list(found), "at": at}
    for customer, expires_at, points in session.raw.execute(_POINTS, asked):
        found[customer].balance += points
        if expires_at is not None:
            found[customer].expiries.append((expires_at, points))
    for customer, tier in session.raw.execute(_TIERS, asked):
        found[customer].tier = tier
    return found


_POINTS = """
select customer_id, nullif(expires_at, 'infinity'), sum(points)::bigint from points_value
where site_id = %(site)s and customer_id = any(%(customers)s) and since <= %(at)s and until > %(at)s
group by customer_id, expires_at order by customer_id, expires_at
"""
_TIERS = """
select distinct on (customer_id) customer_id, tier from tier_change
where site_id = %(site)s and customer_id = any(%(customers)s) and at <= %(at)s
order by customer_id, at desc, seq desc
"""
