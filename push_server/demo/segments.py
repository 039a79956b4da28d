"""Six telling segments: the rule as the server gets it, and what it means, worked out from the file in plain Python.

The two are written apart on purpose: the demo compares the server's members with these.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from push_server.demo.data import Person, Purchase
from push_server.demo.points import FEWEST, expiring, reminder

ORDER = "Order Completed"


@dataclass(frozen=True, slots=True)
class Telling:
    """A segment of the demo with the notification that its campaign sends (Liquid)."""

    key: str
    name: str
    rule: dict[str, Any]
    holds: Callable[[Person, datetime], bool]
    title: str
    body: str
    says: Callable[[Person, datetime], str] | None = None
    """What the body must read for a customer, where that is worked out from the file too."""

    def members(self, people: list[Person], at: datetime) -> set[str]:
        """The customers who belong in it at that instant, computed without the server."""
        return {person.customer for person in people if self.holds(person, at)}


def telling(people: list[Person], now: datetime) -> list[Telling]:
    """The six segments; the spending threshold is taken from the data."""
    threshold = top_fifth(people, now)
    return [
        Telling(
            "bought-once",
            "Bought once, 60 days silent",
            _rule(_orders({"eq": 1}), {"event": ORDER, "last": {"before": "60d"}}),
            lambda person, at: len(person.purchases) == 1 and not _within(person, at, 60),
            "{{ customer.first_name }}, your first record is lonely",
            "It stands on the shelf by itself. We would put something from {{ customer.favourite }} beside it.",
        ),
        Telling(
            "top-fifth",
            "Top fifth by spend in the last year",
            _rule({"event": ORDER, "sum": {"of": "revenue", "gte": float(threshold)}, "within": "365d"}),
            lambda person, at: _spent(person, at, 365) >= threshold,
            "First pick for you, {{ customer.first_name }} {{ customer.last_name }}",
            "Our best customers see new pressings two days early. {{ customer.favourite }} comes first.",
        ),
        Telling(
            "points",
            f"{FEWEST} points or more expire within 7 days",
            _rule({"points": {"expiring": {"gte": FEWEST}, "within": "7d"}}),
            lambda person, at: expiring(person, at, 7) >= FEWEST,
            "{{ customer.first_name }}, your points want to be music",
            "You have {{ points.balance }} points, {{ points.expiring }} of them expire on "
            "{{ points.expires_at | date: '%-d %B' }}.",
            reminder,
        ),
        Telling(
            "habit-breaking",
            "Habit breaking: three orders or more, none in 120 days",
            _rule(_orders({"gte": 3}), _orders({"eq": 0}, "120d"), _orders({"gte": 1}, "365d")),
            lambda person, at: (
                len(person.purchases) >= 3 and not _within(person, at, 120) and bool(_within(person, at, 365))
            ),
            "We kept your corner warm, {{ customer.first_name }}",
            "Four months without a new record is a long rest between two tracks.",
        ),
        Telling(
            "welcome-back",
            "Welcome back: first order after five months of silence",
            _rule(_orders({"gte": 2}), _orders({"eq": 1}, "30d"), _orders({"eq": 1}, "180d")),
            lambda person, at: (
                len(person.purchases) >= 2 and len(_within(person, at, 30)) == 1 == len(_within(person, at, 180))
            ),
            "Good to hear you again, {{ customer.first_name }} ♫",
            "How is the new record? Postage on the next one is on us – köszönjük!",
        ),
        Telling(
            "jazz",
            "Jazz lovers who heard none lately",
            _rule(
                {"any": [{"attribute": "favourite", "eq": "Jazz"}, _bought("Jazz", {"gte": 2})]},
                {"not": _bought("Jazz", {"gte": 1}, "90d")},
                {"not": {"all": [_orders({"lte": 1}), {"event": ORDER, "last": {"before": "180d"}}]}},
            ),
            _misses_jazz,
            "Late night at the Lantern",
            "Three new jazz records came in, {{ customer.first_name }}. “Slow Tram to Óbuda” has your name on it.",
        ),
    ]


def top_fifth(people: list[Person], now: datetime) -> Decimal:
    """What the last of the top fifth spent in a year, among those who bought anything in it."""
    spent = sorted((_spent(person, now, 365) for person in people if _within(person, now, 365)), reverse=True)
    return spent[math.ceil(len(spent) / 5) - 1]


def _rule(*nodes: dict[str, Any]) -> dict[str, Any]:
    return {"version": 1, "where": {"all": list(nodes)}}


def _orders(count: dict[str, int], within: str | None = None) -> dict[str, Any]:
    return {"event": ORDER, "count": count} | ({"within": within} if within else {})


def _bought(category: str, count: dict[str, int], within: str | None = None) -> dict[str, Any]:
    return {"bought": {"category": {"eq": category}}, "count": count} | ({"within": within} if within else {})


def _within(person: Person, at: datetime, days: int) -> list[Purchase]:
    return [purchase for purchase in person.purchases if at - timedelta(days=days) < purchase.at <= at]


def _spent(person: Person, at: datetime, days: int) -> Decimal:
    return sum((purchase.revenue for purchase in _within(person, at, days)), Decimal(0))


def _lines(purchases: list[Purchase] | tuple[Purchase, ...], category: str) -> int:
    return sum(line.record.category == category for purchase in purchases for line in purchase.lines)


def _misses_jazz(person: Person, at: datetime) -> bool:
    once_and_long_ago = len(person.purchases) <= 1 and not _within(person, at, 180)
    likes = person.favourite == "Jazz" or _lines(person.purchases, "Jazz") >= 2
    return likes and not _lines(_within(person, at, 90), "Jazz") and not once_and_long_ago
