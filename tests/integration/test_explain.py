"""Why somebody is in a segment: each condition's truth, what was found, and when that changes."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from push_server import clock
from push_server.audiences.explain import explain
from push_server.audiences.models import Segment
from push_server.customers.service import find_customer
from push_server.db import Database
from segments.moments import as_text
from tests.integration.audiences.shop import NOW, Api, rule
from tests.integration.segments_rules import trees
from tests.integration.segments_shop import NOW as SHOP_NOW
from tests.integration.segments_shop import Shop, reach, shoppers

DAY = timedelta(days=1)
VIEWED = {"event": "Product Viewed", "where": {"category": {"eq": "dog"}}, "count": {"gte": 2}, "within": "14d"}


@pytest.fixture
def api(db: Database) -> Api:
    clock.set_source(lambda: NOW)
    return Api(db)


def told(api: Api, node: Any, customer: str = "ada") -> dict[str, Any]:
    """The tree without its words."""
    id = api.segment("S", node)["id"]
    answer: dict[str, Any] = api.call("GET", f"/v1/segments/{id}/explain/{customer}")
    assert answer["member"] == answer["tree"]["truth"] == (customer in api.members(id))
    return answer


def test_every_condition_says_what_was_found(api: Api) -> None:
    api.customers("ada", country="HU", born="1990-03-03", score=2.5)
    for days in (13, 2):
        properties = {"category": "dog"}
        event = {"event": "Product Viewed", "timestamp": (NOW - days * DAY).isoformat(), "properties": properties}
        api.call("POST", "/v1/track", json={"userId": "ada", **event})
    api.order("ada", NOW - 10 * DAY, revenue=19.99, products=[{"product_id": "p1", "price": 19.99}])
    api.order("ada", NOW - 4 * DAY, revenue=10)
    api.call("PUT", "/v1/products", json={"products": [{"product_id": "p1", "lifespan_days": 12}]})
    lot = {"lot_id": "l", "customer": "ada", "points": 50, "earned_at": "2026-01-01T00:00:00Z"}
    api.call("POST", "/v1/loyalty/lots", json={"lots": [{**lot, "expires_at": "2026-03-05T00:00:00Z"}]})

    def later(days: float) -> str:
        return as_text(NOW + timedelta(days=days))

    order = {"event": "Order Completed"}
    cases: list[tuple[Any, bool, Any, Any, Any]] = [
        (VIEWED, True, 2, {"gte": 2}, later(1)),
        ({**order, "sum": {"of": "revenue", "gt": 30}}, False, 29.99, {"gt": 30}, None),
        ({**order, "avg": {"of": "revenue", "lt": 15}}, True, 14.995, {"lt": 15}, None),
        ({"event": "Searched", "max": {"of": "x", "ne": 1}}, False, None, {"ne": 1}, None),
        ({**order, "last": {"before": "7d"}}, False, later(-4), {"lte": later(-7)}, later(3)),
        ({"attribute": "country", "in": ["HU", "NO"]}, True, "HU", {"in": ["HU", "NO"]}, None),
        ({"attribute": "city", "ne": "Oslo"}, True, None, {"ne": "Oslo"}, None),
        (
            {"attribute": "born", "anniversary_within": "1d"},
            False,
            "1990-03-03",
            {"anniversary_within": "1d"},
            "2026-03-02T00:00:00Z",
        ),
        ({"order_gap": {"ratio": {"gt": 1}}}, False, 4 / 6, {"gt": 1}, later(2).replace("Z", ".000001Z")),
        ({"replenish": {"within": "1d"}}, False, later(2), {"lte": later(1)}, later(1)),
        ({"points": {"balance": {"gte": 10}}}, True, 50, {"gte": 10}, "2026-03-05T00:00:00Z"),
        ({"tier": {"eq": "gold"}}, False, None, {"eq": "gold"}, None),
        ({"rank": {"by": {**order, "sum": "revenue"}, "top_percent": 50}}, True, 29.99, {"gte": 29.99}, None),
        ({"rfm": {"frequency": {"gte": 2}}}, False, {"frequency": 1}, {"frequency": {"gte": 2}}, None),
        ({"subscription": {}}, False, 0, {"gte": 1}, None),
        ({"message": {"outcome": "shown"}}, False, None, None, None),
        ({"sequence": [order, order]}, True, later(-4), None, None),
    ]
    wrong = []
    for node, *expected in cases:
        tree = told(api, node)["tree"]
        found = [tree[name] for name in ("truth", "observed", "threshold", "changes_at")]
        if (found, tree["node"], tree["children"]) != (expected, node, []):
            wrong.append(f"{node}: {found} and not {expected}")
    assert not wrong, "\n".join(wrong)


def test_the_tree_is_the_rules_own(api: Api) -> None:
    api.customers("ada/1", country="HU")
    inner = api.segment("Inner", {"attribute": "country", "eq": "HU"})["id"]
    node = {"all": [{"segment": inner}, {"not": {"any": [VIEWED, {"all": []}]}}]}
    answer = told(api, node, "ada/1")
    assert answer["at"] == as_text(NOW)
    assert answer["sentence"].startswith("Customers in the segment “Inner”, except either with at least 2")
    tree = answer["tree"]
    assert (tree["node"], tree["truth"]) == ({"all": []}, False)
    segment, negated = tree["children"]
    assert (segment["node"], segment["truth"], segment["observed"]) == ({"segment": inner}, True, None)
    assert segment["words"] == "in the segment “Inner”"
    assert [child["observed"] for child in segment["children"]] == ["HU"]
    assert (negated["node"], negated["truth"]) == ({"not": {}}, False)
    (either,) = negated["children"]
    assert [(child["truth"], child["observed"]) for child in either["children"]] == [(False, 0), (True, None)]


def test_the_announced_change_comes_at_its_instant(api: Api) -> None:
    api.customers("ada")
    api.order("ada", NOW - 3 * DAY)
    id = api.segment("Lately", {"event": "Order Completed", "within": "14d"})["id"]
    path = f"/v1/segments/{id}/explain/ada"
    change = datetime.fromisoformat(api.call("GET", path)["tree"]["changes_at"])
    assert change == NOW + 11 * DAY
    for at, expected in ((change - timedelta(seconds=1), True), (change, False)):
        clock.set_source(lambda at=at: at)
        assert api.call("GET", path)["member"] is expected
        assert ("ada" in api.members(id)) is expected


def test_nobody_and_nothing_are_not_there(api: Api) -> None:
    id = api.segment("All", {"all": []})["id"]
    assert api.call("GET", f"/v1/segments/{id}/explain/nobody", 404)["code"] == "no_such_customer"
    api.customers("ada")
    assert api.call("GET", "/v1/segments/none/explain/ada", 404)["code"] == "no_such_segment"


def test_generated_rules_are_explained_as_the_judge_finds(db: Database) -> None:
    found = reach(shoppers(12))
    with Shop(db, found, {name: {"attribute": "a", "exists": True} for name in "ABC"}) as shop:
        clock.set_source(lambda: SHOP_NOW)
        with db.session(site_id=shop.site_id) as session:
            segment = Segment(name="S", rule=rule({"all": []}))
            session.add(segment)
            session.flush()
            customers = {who.id: find_customer(session, who.id) for who in found}

            def explained(node: dict[str, Any]) -> None:
                expected = shop.members(node, SHOP_NOW)[0]["judge"]
                segment.rule = rule(shop.written(node))
                session.flush()
                explanations = {id: explain(session, str(segment.public_id), who) for id, who in customers.items()}
                assert {id for id, each in explanations.items() if each.member} == expected, json.dumps(node)
                json.dumps([each.tree for each in explanations.values()], allow_nan=False)

            checks = [HealthCheck.too_slow]
            often = settings(max_examples=60, derandomize=True, deadline=None, suppress_health_check=checks)
            often(given(node=trees)(explained))()
