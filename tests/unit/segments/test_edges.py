"""Which edges of time the conditions have, as rules write them."""

from datetime import UTC, timedelta
from typing import Any

import pytest

from segments import Context, parse
from segments.core import Stream, leaves
from segments.edges import (
    AnniversaryEdge,
    DateEdge,
    ExpiryEdge,
    LifespanEdge,
    StreamEdge,
    TimeEdge,
    edges,
    needs_instant,
)

DAY = timedelta(days=1)
ORDERS = {"event": "Order Completed"}


def viewed(days: int) -> StreamEdge:
    return StreamEdge(Stream.EVENTS, "Product Viewed", days * DAY)


def ordered(days: int) -> StreamEdge:
    return StreamEdge(Stream.ORDERS, "", days * DAY)


CASES: list[tuple[dict[str, Any], set[TimeEdge]]] = [
    ({"event": "Product Viewed"}, set()),
    ({"event": "Viewed Product", "within": "14d"}, {viewed(14)}),
    ({"event": "Product Viewed", "from": "2026-01-01", "to": "2027-01-01"}, set()),
    ({"event": "Product Viewed", "last": {"within": "3d"}, "within": "14d"}, {viewed(3)}),
    ({"event": "Product Viewed", "last": {"within": "30d"}, "within": "14d"}, {viewed(14)}),
    ({"event": "Product Viewed", "last": {"before": "3d"}, "within": "14d"}, {viewed(3), viewed(14)}),
    ({"event": "Product Viewed", "last": {"before": "14d"}, "within": "14d"}, set()),
    ({"event": "Product Viewed", "first": {"within": "3d"}, "within": "14d"}, {viewed(3), viewed(14)}),
    ({"event": "Product Viewed", "first": {"before": "3d"}}, {viewed(3)}),
    ({**ORDERS, "sum": {"of": "revenue", "lt": 9}, "within": "5d"}, {ordered(5)}),
    ({"bought": {}, "within": "5d"}, {StreamEdge(Stream.LINES, "", 5 * DAY)}),
    ({"rank": {"by": {**ORDERS, "within": "5d"}, "top_percent": 3}}, {ordered(5)}),
    ({"rfm": {"recency": {"gte": 4}}}, set()),
    ({"sequence": [{"event": "Product Viewed"}, ORDERS], "within": "5d"}, {viewed(5)}),
    (
        {"sequence": [{"event": "Product Viewed"}, {**ORDERS, "absent": True}], "within": "5d", "gap": "1d"},
        {viewed(5), viewed(1)},
    ),
    (
        {"sequence": [ORDERS, {"event": "Product Viewed"}, {**ORDERS, "absent": True}], "gap": "1d"},
        {viewed(1)},
    ),
    ({"attribute": "a", "within_last": "2d"}, {DateEdge("a", 0 * DAY), DateEdge("a", 2 * DAY)}),
    ({"attribute": "a", "within_next": "2d"}, {DateEdge("a", 0 * DAY), DateEdge("a", -2 * DAY)}),
    ({"attribute": "a", "anniversary_within": "7d"}, {AnniversaryEdge("a", 7)}),
    ({"attribute": "a", "after": "2026-03-01"}, set()),
    ({"points": {"balance": {"gte": 1}}}, {ExpiryEdge(0 * DAY)}),
    ({"points": {"expiring": {"gte": 1}, "within": "7d"}}, {ExpiryEdge(0 * DAY), ExpiryEdge(7 * DAY)}),
    ({"replenish": {"within": "7d"}}, {LifespanEdge(0 * DAY), LifespanEdge(7 * DAY)}),
    ({"tier": {"eq": "gold"}}, set()),
    ({"topic": "sales"}, set()),
    ({"message": {"outcome": "shown"}}, set()),
    ({"sample": {"percent": 10}}, set()),
]
STORED: list[dict[str, Any]] = [
    {"order_gap": {"ratio": {"gt": 2}}},
    {"message": {"outcome": "shown", "within": "30d"}},
    {"subscription": {"created_at": {"within_last": "30d"}}},
    {"tier": {"within_last": "30d"}},
    {"event": "Product Viewed", "where": {"until": {"within_next": "1d"}}},
    {"rank": {"by": {**ORDERS, "where": {"until": {"within_last": "1d"}}}, "top_percent": 3}},
    {"sequence": [ORDERS, {**ORDERS, "where": {"until": {"within_last": "1d"}}, "absent": True}]},
    {"event": "Product Viewed", "last": {"within": "1d"}, "where": {"until": {"within_last": "1d"}}},
]


def _leaf(node: dict[str, Any]) -> Any:
    (leaf,) = leaves(parse({"version": 1, "where": node}, Context(zone=UTC)).lower())
    return leaf


@pytest.mark.parametrize(("node", "expected"), CASES)
def test_edges_of(node: dict[str, Any], expected: set[TimeEdge]) -> None:
    leaf = _leaf(node)
    assert edges(leaf) == expected
    assert not needs_instant(leaf)


@pytest.mark.parametrize("node", STORED)
def test_no_index_finds(node: dict[str, Any]) -> None:
    assert needs_instant(_leaf(node))
