"""What a campaign is worth: orders of those who were held out of it beside those of the others it was meant for."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import text

from push_server import clock
from push_server.db import SiteSession
from push_server.events.conversions import stands

WITHIN: Final = timedelta(days=7)
"""After a run began orders count for so long: local times, caps and quiet hours may take days of it."""
_Z95: Final = 1.959964

# Everybody else counts whether his message arrived or not: who gets one is no matter of chance, who is held out is.
_GROUPS = text(
    f"""
    with meant as (
        select p.created_at as began, d.customer_id, bool_or(d.reason = 'holdout') is true as held_out
        from dispatch p join delivery d on d.dispatch_id = p.id
        where p.campaign_id = :campaign and p.site_id = :site and not p.is_test
            and d.reason is distinct from 'no_subscription'
        group by p.id, d.customer_id
    )
    select m.held_out, count(*) as customers, count(*) filter (where o.orders > 0) as buyers,
           coalesce(sum(o.orders), 0)::bigint as orders, coalesce(sum(o.value), 0)::bigint as value,
           max(m.began) as last_began
    from meant m cross join lateral (
        select count(*) as orders, sum(o.value) as value from order_value o
        where o.site_id = :site and o.customer_id = m.customer_id and o.ts > m.began and o.ts <= m.began + :within
            and {stands("o")}
    ) o
    group by m.held_out
    """  # noqa: S608 - no text from outside
)


@dataclass(frozen=True, slots=True)
class Group:
    """Customers, once for each run they were meant to get; those of them who ordered, their orders, what these are
    worth in the shop's currency.
    """

    customers: int = 0
    buyers: int = 0
    orders: int = 0
    revenue: float = 0


@dataclass(frozen=True, slots=True)
class Difference:
    """How much larger the part of buyers is among the others, and between what bounds it is by 95 in 100."""

    buyers: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both groups. `until`: when the last order counts that may; None before the first run."""

    held_out: Group
    others: Group
    difference: Difference | None
    until: datetime | None


def compare(session: SiteSession, campaign_id: int) -> Comparison:
    """The campaign's groups by the orders that stand now; tests are not among its runs."""
    asked = {"campaign": campaign_id, "site": session.site_id, "now": clock.now(), "within": WITHIN}
    groups, until = {True: Group(), False: Group()}, None
    for row in session.sql(_GROUPS, asked):
        groups[row.held_out] = Group(row.customers, row.buyers, row.orders, row.value / 1_000_000)
        until = max(filter(None, (until, row.last_began + WITHIN)))
    return Comparison(groups[True], groups[False], difference(groups[True], groups[False]), until)


def difference(held_out: Group, others: Group) -> Difference | None:
    """By Agresti and Caffo (2000): a buyer and a non-buyer added to each group keep the interval honest in small ones.
    None while a group is empty.
    """
    if not held_out.customers or not others.customers:
        return None
    low_n, high_n = held_out.customers + 2, others.customers + 2
    low_p, high_p = (held_out.buyers + 1) / low_n, (others.buyers + 1) / high_n
    half = _Z95 * math.sqrt(low_p * (1 - low_p) / low_n + high_p * (1 - high_p) / high_n)
    found = others.buyers / others.customers - held_out.buyers / held_out.customers
    middle = high_p - low_p
    return Difference(round(found, 6), round(middle - half, 6), round(middle + half, 6))
