"""The ten rules that engines are compared by, as the rule language writes them."""

from dataclasses import dataclass
from typing import Any

ORDERED = {"event": "Order Completed"}
_VIEWED_DOG = {"event": "Product Viewed", "where": {"category": {"eq": "dog"}}, "count": {"gte": 3}, "within": "14d"}
_SPEND = {"event": "Order Completed", "sum": "revenue", "within": "365d"}
_CART = [{"event": "Product Added"}, {"event": "Order Completed", "absent": True}]


@dataclass(frozen=True, slots=True)
class Ruled:
    """A rule's number, its words, and its condition."""

    name: str
    words: str
    where: dict[str, Any]

    @property
    def rule(self) -> dict[str, Any]:
        """As the API takes it."""
        return {"version": 1, "where": self.where}


RULES = (
    Ruled("R1", "two orders or more in 90 d", {**ORDERED, "count": {"gte": 2}, "within": "90d"}),
    Ruled("R2", "spent 500 or more in 365 d", {**ORDERED, "sum": {"of": "revenue", "gte": 500}, "within": "365d"}),
    Ruled("R3", "bought of a category, but not in 180 d", {
        "all": [
            {"bought": {"category": {"eq": "dog"}}},
            {"not": {"bought": {"category": {"eq": "dog"}}, "within": "180d"}},
        ]
    }),
    Ruled("R4", "viewed a category 3 times in 14 d, no order in them", {
        "all": [_VIEWED_DOG, {**ORDERED, "count": {"eq": 0}, "within": "14d"}]
    }),
    Ruled("R5", "cart in 24 h, no order after", {"sequence": _CART, "within": "24h"}),
    Ruled("R6", "best 20 % by spend in 365 d", {"rank": {"by": _SPEND, "top_percent": 20}}),
    Ruled("R7", "points expire within 7 d", {"points": {"expiring": {"gte": 1}, "within": "7d"}}),
    Ruled("R8", "birthday within 7 d", {"attribute": "birthday", "anniversary_within": "7d"}),
    Ruled("R9", "twice as late as their own rhythm", {"order_gap": {"ratio": {"gt": 2}, "min_orders": 3}}),
    Ruled("R10", "nested: of the best, or looking at dogs with points; no order lately, no points about to expire …", {
        "all": [
            {"any": [
                {"rank": {"by": _SPEND, "top_percent": 20}},
                {"all": [_VIEWED_DOG, {"points": {"balance": {"gte": 100}}}]},
            ]},
            {**ORDERED, "count": {"eq": 0}, "within": "30d"},
            {"not": {"points": {"expiring": {"gte": 1}, "within": "7d"}}},
            {"any": [
                {"bought": {"category": {"eq": "dog"}}, "within": "365d"},
                {"event": "Product Added", "within": "7d"},
            ]},
        ]
    }),
)  # fmt: skip
