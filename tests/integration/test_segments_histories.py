"""Conditions over whole histories at their very edges, by hand: who is in to each evaluator, and to the judge."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from push_server.db import Database
from tests.integration.segments_judge import Shopper
from tests.integration.segments_shop import Shop

T = datetime(2026, 3, 1, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def order(ts: datetime, id: str, **more: Any) -> tuple[datetime, str, dict[str, Any]]:
    return ts, "Order Completed", {"order_id": id, **more}


PEOPLE = [
    Shopper("none"),
    Shopper("once", facts=[order(T - 9 * DAY, "g1")]),
    Shopper("twice at once", facts=[order(T - 9 * DAY, "g2"), order(T - 9 * DAY, "g3")]),
    Shopper("double", facts=[order(T - 9 * DAY, "g4"), order(T - 6 * DAY, "g5")]),
    Shopper("a tick more", facts=[order(T - 9 * DAY, "g6"), order(T - 6 * DAY - TICK, "g7")]),
    Shopper("thirds", facts=[order(T - 4 * DAY, f"h{n}") for n in (1, 2, 3)] + [order(T - DAY, "h4")]),
    Shopper(
        "cancelled",
        facts=[
            order(T - 9 * DAY, "g8"),
            order(T - 6 * DAY, "g9"),
            order(T - DAY, "g10"),
            (T - HOUR, "Order Cancelled", {"order_id": "g10"}),
        ],
    ),
    *[
        Shopper(
            f"r{place}",
            facts=[(T - DAY, "Product Viewed", {"price": price, "size": place}) for price in prices],
        )
        for place, prices in enumerate(
            [[0.1, 0.1, 0.1], [0.1], [0.2, 0.1], [0.3], ["9"], [1, 1, 2], [4, 0, 0, 0, 0, 3]]
        )
    ],
]


BUYERS = {"once", "twice at once", "double", "a tick more", "thirds", "cancelled"}


def gap(fewest: int = 2, **ratio: Any) -> dict[str, Any]:
    return {"order_gap": {"ratio": ratio, "min_orders": fewest}}


def rank(percent: float, **by: Any) -> dict[str, Any]:
    return {"rank": {"by": {"event": "Viewed Product", **by}, "top_percent": percent}}


def rfm(**scores: Any) -> dict[str, Any]:
    return {"rfm": scores}


def replenish(within: str) -> dict[str, Any]:
    return {"replenish": {"within": within}}


CASES: list[tuple[str, dict[str, Any], datetime, set[str]]] = [
    ("twice the gap, to the tick", gap(eq=2), T, {"double", "cancelled"}),
    ("a tick more is more", gap(gt=2), T, {"a tick more"}),
    ("no gap, no ratio: ne is false too", gap(1, ne=7), T, {"double", "a tick more", "thirds", "cancelled"}),
    ("the mean gap, three of them", gap(3, eq=1), T, {"thirds"}),
    ("an order that is cancelled later stands till then", gap(3, lt=1), T - HOUR - TICK, {"thirds", "cancelled"}),
    ("and not from that instant on", gap(3, lt=1), T - HOUR, {"thirds"}),
    ("position ceil(1% of 7) is the first", rank(1, sum="price"), T, {"r6"}),
    ("two of seven are 28.57…%", rank(28.57, sum="price"), T, {"r6", "r5"}),
    ("a little more is three, and ties are in", rank(28.58, sum="price"), T, {"r6", "r5", "r0", "r2", "r3"}),
    ("no number adds up to 0, and is ranked", rank(100, sum="price"), T, {f"r{place}" for place in range(7)}),
    ("but has no average: in n, never in", rank(100, avg="price"), T, {f"r{place}" for place in range(7)} - {"r4"}),
    ("7/6 is below 4/3", rank(14, avg="price"), T, {"r5"}),
    ("by number", rank(20), T, {"r6", "r0", "r5"}),
    ("the score of the least is 1", rfm(recency={"eq": 1}), T, {"once", "twice at once"}),
    ("two of six are worse: 1 + floor(10/6)", rfm(recency={"eq": 2}), T, {"a tick more"}),
    ("three of six", rfm(recency={"eq": 3}), T, {"double", "cancelled"}),
    ("five of six are 5", rfm(recency={"gte": 4}), T, {"thirds"}),
    ("a cancelled order counts till then", rfm(recency={"gte": 4}), T - HOUR - TICK, {"thirds", "cancelled"}),
    ("without an order there is no score", rfm(frequency={"ne": 9}), T, BUYERS),
    ("all that is asked", rfm(frequency={"eq": 5}, recency={"lt": 5}), T, set()),
    ("and no more", rfm(frequency={"eq": 5}, monetary={"eq": 1}), T, {"thirds"}),
    ("only who did it in the window", rank(1, within="1d"), T, set()),
    ("and a tick earlier", rank(1, within="1d"), T - TICK, {"r6"}),
]


FOOD = {"product_id": "p2", "price": 2}  # lasts five days
HUNGRY = [
    Shopper("food", facts=[order(T - 3 * DAY, "f1", revenue=9, products=[FOOD, {"product_id": "p4"}])]),
    Shopper("more food", facts=[order(T - 4 * DAY, "f2", products=[FOOD]), order(T - 2 * DAY, "f3", products=[FOOD])]),
    Shopper(
        "gave back",
        facts=[
            order(T - 4 * DAY, "f4", revenue=9, products=[{**FOOD, "quantity": 2}]),
            order(T - 2 * DAY, "f5", revenue=9, products=[FOOD, {"product_id": "p3", "price": 4}]),
            (T - HOUR, "Order Refunded", {"order_id": "f5", "products": [FOOD]}),
            (T - HOUR, "Order Refunded", {"order_id": "f4", "products": [FOOD]}),
        ],
    ),
]
MEALS: list[tuple[str, dict[str, Any], datetime, set[str]]] = [
    ("the end of the window is in", replenish("2d"), T, {"food", "gave back"}),
    ("the last purchase counts: what was given back was none", replenish("1d"), T, {"gave back"}),
    ("before that, the later one", replenish("2d"), T - HOUR - TICK, set()),
    ("a tick before the window", replenish("2d"), T - TICK, {"gave back"}),
    ("the instant it runs out is no longer ahead", replenish("30d"), T + 2 * DAY, {"more food"}),
    ("a tick before it is", replenish("30d"), T + 2 * DAY - TICK, {"food", "more food"}),
]


def does(ts: datetime, name: str, **properties: Any) -> tuple[datetime, str, dict[str, Any]]:
    return ts, name, properties


CARTS = [
    Shopper("left", facts=[does(T - HOUR, "Product Added", cart_id="a")]),
    Shopper("just left", facts=[does(T - HOUR + TICK, "Product Added", cart_id="a")]),
    Shopper("long ago", facts=[does(T - DAY, "Product Added", cart_id="a")]),
    Shopper("ordered", facts=[does(T - 2 * HOUR, "Product Added", cart_id="a"), order(T - HOUR, "s1", cart_id="a")]),
    Shopper("at once", facts=[does(T - 2 * HOUR, "Product Added", cart_id=5), order(T - 2 * HOUR, "s2", cart_id=5.0)]),
    Shopper("other cart", facts=[does(T - 2 * HOUR, "Product Added", cart_id="a"), order(T - HOUR, "s3", cart_id="b")]),
    Shopper("no cart", facts=[does(T - 2 * HOUR, "Product Added"), order(T - HOUR, "s4")]),
    Shopper(
        "again",
        facts=[does(T - 2 * HOUR, "Product Added", cart_id=1), does(T - HOUR + TICK, "Product Added", cart_id=1)],
    ),
    Shopper(
        "called off",
        facts=[
            does(T - 3 * HOUR, "Product Added", cart_id="a"),
            order(T - 2 * HOUR, "s5", cart_id="a"),
            does(T - TICK, "Order Cancelled", order_id="s5"),
        ],
    ),
    Shopper("three", facts=[does(T - n * HOUR, name) for n, name in ((3, "A"), (2, "B"), (1, "A"), (4, "B"))]),
    Shopper("none", facts=[does(T - n * HOUR, "B") for n in (2, 3)]),
]
ADDED, ORDERED = {"event": "Product Added"}, {"event": "Order Completed"}


def after(*steps: Any, absent: Any = None, **more: Any) -> dict[str, Any]:
    return {"sequence": [*steps, *([{**absent, "absent": True}] if absent else [])], **more}


ABANDONED = after(ADDED, absent=ORDERED, gap="1h", within="24h", same="cart_id")
A, B = {"event": "A"}, {"event": "B"}
ORDERS: list[tuple[str, dict[str, Any], datetime, set[str]]] = [
    ("abandoned carts: gap to the tick", ABANDONED, T, {"left", "at once", "other cart", "called off"}),
    (
        "a tick later another",
        ABANDONED,
        T + TICK,
        {"left", "just left", "at once", "other cart", "again", "called off"},
    ),
    (
        "a tick earlier, an order still stood, and one was in the window",
        ABANDONED,
        T - 2 * TICK,
        {"at once", "other cart", "long ago"},
    ),
    ("no gap: at once", after(ADDED, absent=ORDERED, within="2h"), T, {"left", "just left", "again"}),
    ("strictly later", after(ADDED, ORDERED), T, {"ordered", "other cart", "no cart"}),
    ("of the same cart", after(ADDED, ORDERED, same="cart_id"), T, {"ordered"}),
    ("until the order is cancelled", after(ADDED, ORDERED, same="cart_id"), T - 2 * TICK, {"ordered", "called off"}),
    ("one event is not two", after(ADDED, ADDED), T, {"again"}),
    (
        "the window is the first step's",
        after(ADDED, ORDERED, within="2h"),
        T - TICK,
        {"ordered", "other cart", "no cart"},
    ),
    ("and t-W is out", after(ADDED, ORDERED, within="2h"), T, set()),
    ("back and forth", after(B, A, B, A), T, {"three"}),
    ("not more often than it was", after(A, B, A, B), T, set()),
    ("an absent one before the newest that completes is none", after(B, A, absent=B), T, {"three"}),
    ("after it, it is one", after(B, A, absent=B), T - HOUR - TICK, set()),
    ("which must be as its where says", after(A, {**B, "where": {"x": {"exists": True}}}), T, set()),
]


SINCE = [
    Shopper("years ago", facts=[does(datetime(2023, 5, 1, tzinfo=UTC), "Seen")]),
    Shopper("last year", facts=[does(datetime(2025, 1, 1, tzinfo=UTC), "Seen"), does(T - 200 * DAY, "Seen")]),
    Shopper("this year", facts=[does(datetime(2026, 1, 1, tzinfo=UTC), "Seen"), does(T - DAY, "Seen")]),
    Shopper("long since", facts=[does(datetime(2024, 12, 31, tzinfo=UTC), "Seen"), does(T - DAY, "Seen")]),
    Shopper("next year", facts=[does(T + 400 * DAY, "Seen")]),
]
SEEN = {"event": "Seen"}
YEARS: list[tuple[str, dict[str, Any], datetime, set[str]]] = [
    ("ever, in whatever year", SEEN, T, {"years ago", "last year", "this year", "long since"}),
    ("for the first time", {**SEEN, "first": {"within": "90d"}}, T, {"this year"}),
    ("for the first time long ago", {**SEEN, "first": {"before": "90d"}}, T, {"years ago", "last year", "long since"}),
    ("for the last time", {**SEEN, "last": {"before": "90d"}}, T, {"years ago", "last year"}),
    ("when the year has come", {**SEEN, "first": {"within": "90d"}}, T + 401 * DAY, {"next year"}),
    (
        "and two years later",
        {**SEEN, "last": {"before": "700d"}},
        T + 800 * DAY,
        {"years ago", "last year", "this year"} | {"long since"},
    ),
]


@pytest.mark.parametrize(("people", "cases"), [(PEOPLE, CASES), (HUNGRY, MEALS), (CARTS, ORDERS), (SINCE, YEARS)])
def test_edges(db: Database, people: list[Shopper], cases: list[Any]) -> None:
    with Shop(db, people) as shop:
        for title, node, at, expected in cases:
            found, _lowered = shop.members(node, at)
            wrong = {way: sorted(members) for way, members in found.items() if members != expected}
            assert not wrong, f"{title}: expected {sorted(expected)}, but {wrong}"
