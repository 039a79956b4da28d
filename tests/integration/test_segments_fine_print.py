"""The contract's fine print, case by case: who is in to each evaluator, and to the judge, at the very edge."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from push_server.db import Database
from tests.integration.segments_judge import Shopper
from tests.integration.segments_shop import Shop

T = datetime(2026, 3, 1, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def who(id: str, *facts: tuple[datetime, str, dict[str, Any]], zone: str | None = None, **attributes: Any) -> Shopper:
    return Shopper(id, attributes, zone, list(facts))


def order(ts: datetime, id: str, **more: Any) -> tuple[datetime, str, dict[str, Any]]:
    return ts, "Order Completed", {"order_id": id, **more}


def view(ts: datetime, **properties: Any) -> tuple[datetime, str, dict[str, Any]]:
    return ts, "Product Viewed", properties


PEOPLE = [
    who("none"),
    who(
        "edge",
        view(T - DAY, price=0.1),
        view(T, price=0.2, category="100%"),
        born="1992-02-29",
        n=5,
        s="5",
        d="2026-03-01",
    ),
    who("just", view(T - DAY + TICK, category="1000"), born="1990-03-02", n=5.0, s="Abc", d="2026-02-28T23:00:00Z"),
    who("late", view(T + TICK), born="1990-02-28", n="5", s="abc", d="2026-03-02", tags=["5", "a"]),
    who("east", born="1990-03-03", zone="Pacific/Auckland", n=True, tags=[5], d="2026-03-01T12:00:00Z"),
    who("west", born="1990-03-01", zone="America/Los_Angeles", n=None, d="2026-02-30"),
    who(
        "plain",
        order(T - 2 * DAY, "o1", revenue=100, total=120, products=[{"product_id": "p1", "price": 10, "quantity": 3}]),
    ),
    who(
        "partly",
        order(T - 2 * DAY, "o2", total=100, products=[{"product_id": "p1", "category": "cat", "price": 0.1}]),
        (T - DAY, "Order Refunded", {"order_id": "o2", "revenue": 99.5}),
    ),
    who("cancelled", order(T - 2 * DAY, "o3", value=50), (T - HOUR, "Order Cancelled", {"order_id": "o3"})),
    who("returned", order(T - 2 * DAY, "o4", revenue=9), (T - HOUR, "Order Refunded", {"order_id": "o4", "total": 9})),
    who("void", order(T - 2 * DAY, "o5", revenue=9), (T + HOUR, "Order Refunded", {"order_id": "o5"})),
    who(
        "saver",
        (T - 9 * DAY, "Loyalty Points Earned", {"lot_id": "s1", "points": 100, "expires_at": "2026-03-08T12:00:00Z"}),
        (T - 9 * DAY, "Loyalty Points Earned", {"lot_id": "s2", "points": 50}),
        (T - DAY, "Loyalty Points Redeemed", {"redemption_id": "s1", "points": 30}),
        (T + DAY, "Loyalty Points Redeemed", {"redemption_id": "s2", "points": 90}),
        (T - DAY, "Loyalty Tier Changed", {"tier": "gold"}),
        (T, "Loyalty Tier Changed", {"tier": "silver"}),
    ),
    who(
        "lapsed",
        (T - 9 * DAY, "Loyalty Points Earned", {"lot_id": "l1", "points": 10, "expires_at": "2026-03-01T12:00:00Z"}),
        (T - HOUR, "Loyalty Points Redeemed", {"redemption_id": "l1", "points": 11}),
        (T - DAY, "Loyalty Tier Changed", {"tier": "gold"}),
        (T, "Loyalty Tier Changed", {"tier": None}),
    ),
    who("bare", order(T - 2 * DAY, "o6", revenue=1, products=[{"price": 1}])),
]
EVERYONE = {person.id for person in PEOPLE}
VIEW = {"event": "Product Viewed"}
ORDER = {"event": "Order Completed"}
BUYERS = {"plain", "partly", "void", "bare"}


def a(name: str, **test: Any) -> dict[str, Any]:
    return {"attribute": name, **{operator.rstrip("_"): operand for operator, operand in test.items()}}


CASES: list[tuple[str, dict[str, Any], datetime, set[str]]] = [
    ("empty all is true", {"all": []}, T, EVERYONE),
    ("empty any is false", {"any": []}, T, set()),
    ("not is over all customers", {"not": ORDER}, T, EVERYONE - BUYERS),
    ("within leaves out t-W and takes in t", {**VIEW, "within": "1d", "count": {"eq": 1}}, T, {"edge", "just"}),
    ("a tick later the edge moves on", {**VIEW, "within": "1d", "count": {"eq": 1}}, T + TICK, {"edge", "late"}),
    ("a tick earlier it had not come", {**VIEW, "within": "1d", "count": {"eq": 1}}, T - TICK, {"edge", "just"}),
    ("what is later than t does not count", {**VIEW, "count": {"gte": 1}}, T, {"edge", "just"}),
    ("did not, for those who did nothing", {**VIEW, "count": {"eq": 0}}, T, EVERYONE - {"edge", "just"}),
    ("fewer than, too", {**VIEW, "count": {"lt": 2}}, T, EVERYONE - {"edge"}),
    (
        "from is in, to is out",
        {**VIEW, "from": "2026-02-28T12:00:00Z", "to": "2026-03-01T12:00:00Z"},
        T,
        {"edge", "just"},
    ),
    ("a date is midnight in the site's zone", {**VIEW, "from": "2026-03-01"}, T, {"edge"}),
    ("to is exclusive", {**VIEW, "to": "2026-02-28T12:00:00Z"}, T, set()),
    ("an old name means the new one", {"event": "Viewed Product"}, T, {"edge", "just"}),
    ("a sum over none is 0", {**VIEW, "sum": {"of": "price", "lte": 0}}, T, EVERYONE - {"edge"}),
    ("decimals add up", {**VIEW, "sum": {"of": "price", "eq": 0.3}}, T, {"edge"}),
    ("so do averages", {**VIEW, "avg": {"of": "price", "eq": 0.15}}, T, {"edge"}),
    ("an average over none is missing", {**VIEW, "avg": {"of": "price", "ne": 7}}, T, {"edge"}),
    ("a lowest over none is missing", {**VIEW, "min": {"of": "price", "lt": 9}}, T, {"edge"}),
    ("distinct over none is 0", {**VIEW, "distinct": {"of": "category", "eq": 0}}, T, EVERYONE - {"edge", "just"}),
    ("last.before takes in t-W", {**VIEW, "last": {"before": "1d"}}, T + DAY, {"edge", "just"}),
    ("last.within is its complement", {**VIEW, "last": {"within": "1d"}}, T + DAY, {"late"}),
    ("first.before takes in t-W", {**VIEW, "first": {"before": "1d"}}, T, {"edge"}),
    ("first.within is its complement", {**VIEW, "first": {"within": "1d"}}, T, {"just"}),
    ("percent is a plain character", {**VIEW, "where": {"category": {"contains": "0%"}}}, T, {"edge"}),
    ("so is the whole text", {**VIEW, "where": {"category": {"eq": "100%"}}}, T, {"edge"}),
    (
        "ne is true of a missing property",
        {**VIEW, "where": {"category": {"ne": "100%"}}, "count": {"eq": 1}},
        T,
        {"edge", "just"},
    ),
    ("5 and 5.0 are one number, text is none", a("n", eq=5), T, {"edge", "just"}),
    ("a number stored as text has no order", a("n", gte=1), T, {"edge", "just"}),
    ("ne is true of a missing value and of another type", a("n", ne=5), T, EVERYONE - {"edge", "just"}),
    ("not_in likewise", a("n", not_in=[5, "5"]), T, EVERYONE - {"edge", "just", "late"}),
    ("true is no number", a("n", eq=True), T, {"east"}),
    ("exists: false", a("n", exists=False), T, EVERYONE - {"edge", "just", "late", "east"}),
    ("between takes in both ends", a("n", between=[5, 6]), T, {"edge", "just"}),
    ("text tells case", a("s", in_=["abc", "x"]), T, {"late"}),
    ("contains on text is a substring", a("s", contains="b"), T, {"just", "late"}),
    ("contains on a list is membership", a("tags", contains="5"), T, {"late"}),
    ("and tells types", a("tags", contains=5), T, {"east"}),
    ("before is strict, midnights of the site", a("d", before="2026-03-01"), T, set()),
    ("after is strict", a("d", after="2026-03-01"), T, {"late", "east"}),
    ("between takes dates", a("d", between=["2026-03-01", "2026-03-01T12:00:00Z"]), T, {"edge", "just", "east"}),
    ("within_last takes in t", a("d", within_last="13h"), T, {"east"}),
    ("and leaves out t-W", a("d", within_last="13h"), T - TICK, {"edge", "just"}),
    ("within_next leaves out t", a("d", within_next="11h"), T, {"late"}),
    (
        "29 February is 28 February in other years",
        a("born", anniversary_within="1d"),
        T - DAY,
        {"edge", "late", "west"},
    ),
    ("through the day itself, by each one's zone", a("born", anniversary_within="1d"), T, {"just", "west", "east"}),
    ("two days before", a("born", anniversary_within="2d"), T, {"just", "west", "east"}),
    (
        "a leap year has its 29 February",
        a("born", anniversary_within="1d"),
        datetime(2028, 2, 29, 12, tzinfo=UTC),
        {"edge", "west"},
    ),
    (
        "years wrap",
        a("born", anniversary_within="62d"),
        datetime(2025, 12, 31, 12, tzinfo=UTC),
        {"edge", "late", "west", "just", "east"},
    ),
    ("an order's value", {**ORDER, "sum": {"of": "revenue", "gte": 100}}, T, {"plain"}),
    ("total when there is no revenue, less the refund", {**ORDER, "sum": {"of": "revenue", "eq": 0.5}}, T, {"partly"}),
    (
        "before the refund it was whole",
        {**ORDER, "sum": {"of": "revenue", "eq": 100}},
        T - DAY - TICK,
        {"plain", "partly"},
    ),
    ("from its own instant on", {**ORDER, "sum": {"of": "revenue", "eq": 100}}, T - DAY, {"plain"}),
    ("a cancelled order is none", ORDER, T, BUYERS),
    ("until then it is one", ORDER, T - HOUR - TICK, BUYERS | {"cancelled", "returned"}),
    ("from the very instant it is none", ORDER, T - HOUR, BUYERS),
    ("a refund without an amount takes it all", ORDER, T + HOUR, BUYERS - {"void"}),
    ("cancellations can be counted", {"event": "Order Cancelled"}, T, {"cancelled"}),
    ("where asks the order as it came", {**ORDER, "where": {"total": {"gte": 100}}}, T, {"plain", "partly"}),
    ("a line's own category", {"bought": {"category": {"eq": "cat"}}}, T, {"partly"}),
    ("else the catalogue's", {"bought": {"category": {"eq": "dog"}}}, T, {"plain"}),
    ("a category known nowhere is missing", {"bought": {"category": {"exists": False}}}, T, {"bare"}),
    ("and so it is not this one", {"bought": {"category": {"ne": "dog"}}}, T, {"partly", "bare"}),
    ("price times quantity", {"bought": {}, "sum": {"of": "revenue", "eq": 30}}, T, {"plain"}),
    ("lines are counted", {"bought": {"quantity": {"gte": 3}}, "count": {"eq": 1}}, T, {"plain"}),
]


def points(within: str | None = None, **comparison: Any) -> dict[str, Any]:
    return {"points": {"expiring": comparison, "within": within} if within else {"balance": comparison}}


CASES += [
    ("what is unspent", points(eq=120), T, {"saver"}),
    ("a redemption counts from its own instant on", points(eq=150), T - DAY - TICK, {"saver"}),
    ("at that instant it does", points(eq=120), T - DAY, {"saver"}),
    ("a lot counts from the instant of earning", points(gte=10), T - 9 * DAY, {"saver", "lapsed"}),
    ("not before", points(gt=0), T - 9 * DAY - TICK, set()),
    ("a lot has expired at its expiry", points(gt=0), T, {"saver"}),
    ("not a tick before, and what no lot covered drew nothing", points(eq=10), T - TICK, {"lapsed"}),
    ("a balance without lots is 0", points(lte=0), T, EVERYONE - {"saver"}),
    ("other than 0", points(ne=0), T, {"saver"}),
    ("expiring takes in t+W", points("7d", gte=70), T, {"saver"}),
    ("and nothing beyond", points("7d", gte=1), T - TICK, {"lapsed"}),
    ("the rest of it that is unspent", points("7d", eq=70), T, {"saver"}),
    ("spending draws what expires first", points("7d", eq=0), T + DAY, EVERYONE),
    ("and then what never does", points(eq=30), T + DAY, {"saver"}),
    ("what never expires is never expiring", points("520w", gt=70), T, set()),
    ("without lots nothing expires", points("7d", lt=1), T, EVERYONE - {"saver"}),
    ("a tier until it changes", {"tier": {"in": ["gold"]}}, T - TICK, {"saver", "lapsed"}),
    ("from that instant on the new one", {"tier": {"eq": "silver"}}, T, {"saver"}),
    ("who has none has another", {"tier": {"ne": "silver"}}, T, EVERYONE - {"saver"}),
    ("a tier can be missing", {"tier": {"exists": False}}, T, EVERYONE - {"saver"}),
    ("and be known", {"tier": {"exists": True}}, T, {"saver"}),
    ("before the first change it is missing", {"tier": {"not_in": ["gold"]}}, T - DAY - TICK, EVERYONE),
]


def test_fine_print(db: Database) -> None:
    with Shop(db, PEOPLE) as shop:
        for title, node, at, expected in CASES:
            found, _lowered = shop.members(node, at)
            wrong = {way: sorted(members) for way, members in found.items() if members != expected}
            assert not wrong, f"{title}: expected {sorted(expected)}, but {wrong}"


def test_few_are_looked_up_and_many_are_hashed_to_the_same_end(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    orders = [order(T - days * DAY, f"o{days}", revenue=1) for days in (9, 8, 7)]
    earned = "Loyalty Points Earned"
    rich, poor, also = ((T - DAY, earned, {"lot_id": str(n), "points": n}) for n in (100, 99, 101))
    people = [
        who("late", *orders, also),
        who("late and poor", *((ts, name, {**what, "order_id": f"{ts}"}) for ts, name, what in orders), poor),
        who("rich", rich),
        who("neither"),
    ]
    came = {"event": earned, "within": "30d"}
    late, has = {"order_gap": {"ratio": {"gt": 2}, "min_orders": 3}}, points(gte=100)
    cases = [
        ({"all": [came, late]}, {"late", "late and poor"}),
        ({"all": [came, has]}, {"late", "rich"}),
        ({"all": [came, {"not": late}, points(lt=100)]}, set()),
        ({"all": [came, {"any": [late, has]}]}, {"late", "late and poor", "rich"}),
    ]
    with Shop(db, people) as shop:
        for few in (0, 20_000):
            monkeypatch.setattr("segments.sql._FEW", few)
            for node, expected in cases:
                found, _lowered = shop.members(node, T)
                assert {way: members for way, members in found.items() if members != expected} == {}, (few, node)
