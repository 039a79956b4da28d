"""Segments over the API: made, edited, counted, paged, and always as of now."""

from base64 import b64encode
from datetime import timedelta

import pytest

from push_server.audiences import reach
from push_server.audiences.refresh import tick
from push_server.db import Database
from tests.integration.audiences.shop import EVERYONE, NOW, ORDER, Api, at, rule
from tests.integration.test_subscriptions import FIREFOX, subscription


def test_a_segment_from_making_to_deleting(api: Api) -> None:
    api.customers("a", "b", country="HU")
    api.customers("c", country="NO")
    made = api.segment("Hungary", {"attribute": "country", "eq": "HU"})
    assert made == {
        "id": made["id"],
        "name": "Hungary",
        "rule": rule({"attribute": "country", "eq": "HU"}),
        "sentence": "Customers whose country is “HU”.",
        "size": 2,
        "reachable": 0,
        "fresh_at": "2026-03-01T12:00:00Z",
        "state": "ready",
        "progress": 1.0,
        "border": None,
        "problem": None,
    }
    path = f"/v1/segments/{made['id']}"
    assert api.call("GET", path) == made
    assert api.call("GET", "/v1/segments")["data"] == [made]
    assert api.call("PATCH", path, json={"name": "Norway"}) == {**made, "name": "Norway"}
    changed = api.call("PATCH", path, json={"rule": rule({"attribute": "country", "eq": "NO"})})
    assert (changed["name"], changed["size"], changed["sentence"]) == ("Norway", 1, "Customers whose country is “NO”.")
    assert api.members(made["id"]) == {"c": "2026-03-01T12:00:00Z"}
    api.call("DELETE", path, 204)
    api.call("GET", path, 404)
    assert api.call("GET", "/v1/segments") == {"data": [], "next_cursor": None}


def test_members_follow_events_and_time(api: Api) -> None:
    api.customers("a", "b")
    api.order("a")
    made = api.segment("Bought today", {**ORDER, "within": "1d"})
    assert api.members(made["id"]) == {"a": "2026-03-01T12:00:00Z"}
    at(NOW + timedelta(seconds=2))
    api.order("b", NOW + timedelta(seconds=1))
    assert api.members(made["id"]) == {"a": "2026-03-01T12:00:00Z", "b": "2026-03-01T12:00:02Z"}
    at(NOW + timedelta(days=1))  # a's order leaves the window at this very instant
    assert set(api.members(made["id"])) == {"b"}
    assert api.call("GET", f"/v1/segments/{made['id']}")["size"] == 1
    at(NOW + timedelta(days=1, seconds=2))
    assert api.call("GET", "/v1/segments")["data"][0]["size"] == 0


def test_members_who_stay_keep_their_since_under_another_rule(api: Api) -> None:
    api.customers("a", "b", vip=True)
    made = api.segment("Vip", {"attribute": "vip", "eq": True})
    api.customers("c")
    at(NOW + timedelta(hours=1))
    api.call("PATCH", f"/v1/segments/{made['id']}", json={"rule": rule(EVERYONE)})
    assert api.members(made["id"]) == {
        "a": "2026-03-01T12:00:00Z",
        "b": "2026-03-01T12:00:00Z",
        "c": "2026-03-01T13:00:00Z",
    }


def test_pages_hold_while_members_come_and_go(api: Api) -> None:
    names = [f"c{number}" for number in range(9)]
    api.customers(*names, vip=True)
    made = api.segment("Vip", {"attribute": "vip", "eq": True})
    path = f"/v1/segments/{made['id']}/members"
    first = api.call("GET", path, params={"limit": 4})
    seen = [row["external_id"] for row in first["data"]]
    api.customers(seen[0], seen[3], vip=False)
    at(NOW + timedelta(minutes=1))
    second = api.call("GET", path, params={"limit": 4, "cursor": first["next_cursor"]})
    third = api.call("GET", path, params={"limit": 4, "cursor": second["next_cursor"]})
    seen += [row["external_id"] for row in second["data"] + third["data"]]
    assert (len(first["data"]), len(second["data"]), len(third["data"])) == (4, 4, 1)
    assert sorted(seen) == names
    assert third["next_cursor"] is None
    segments = [api.segment(str(number), EVERYONE)["id"] for number in range(3)]
    page = api.call("GET", "/v1/segments", params={"limit": 3})
    rest = api.call("GET", "/v1/segments", params={"limit": 3, "cursor": page["next_cursor"]})
    assert [row["id"] for row in page["data"] + rest["data"]] == [made["id"], *segments]


def test_estimates_are_exact_at_any_instant(api: Api) -> None:
    api.customers("a", "b", country="HU")
    api.customers("c", country=5)
    api.customers("d", age=7)
    api.order("a")
    browser = {"Authorization": "Basic " + b64encode(f"{api.site.public_key}:".encode()).decode()}
    opt_in = {"subscription": subscription(FIREFOX + "a"), "anonymousId": "x", "userId": "a"}
    api.call("POST", "/v1/subscriptions", 201, json=opt_in, headers=browser)
    node = {"any": [{**ORDER, "within": "1d"}, {"attribute": "age", "gte": 1}, {"attribute": "country", "eq": "NO"}]}
    found = api.estimate(node)
    assert isinstance(found.pop("took_ms"), int)
    assert found.pop("sentence").startswith("Customers either with some “Order Completed” events")
    assert found == {"size": 2, "reachable": 1, "exact": True, "margin": 0, "missing": {"age": 3, "country": 1}}
    assert api.estimate(node, at="2026-03-02T12:00:00Z")["size"] == 1
    assert api.estimate(node, at="2026-03-02T12:59:59.999999+01:00")["size"] == 2
    assert api.estimate(node, at="2026-03-01T11:59:59.999999Z")["reachable"] == 0
    assert api.segment("x", node)["reachable"] == 1
    for bad in ("yesterday", "1969-12-31", "2200-01-01", 5, None, "2026-02-30"):
        answer = api.call("POST", "/v1/segments/estimate", 422, json={"rule": rule(EVERYONE), "at": bad})
        assert answer["errors"][0]["path"] == "$.at"


def test_estimates_of_attributes_alone_count_members_and_missing_values(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.customers("a", country="HU", age=30)
    api.customers("b", country="HU")
    api.customers("c", country="NO", age=20)
    api.customers("d", age="none")
    browser = {"Authorization": "Basic " + b64encode(f"{api.site.public_key}:".encode()).decode()}
    for user, endpoint in (("a", "1"), ("a", "2"), ("c", "3")):
        opt_in = {"subscription": subscription(FIREFOX + endpoint), "anonymousId": endpoint, "userId": user}
        api.call("POST", "/v1/subscriptions", 201, json=opt_in, headers=browser)
    either = {"any": [{"attribute": "country", "eq": "HU"}, {"attribute": "age", "lt": 25}]}
    counted = {"size": 3, "reachable": 2, "missing": {"age": 1, "country": 1}}
    for most in (100_000, 2):  # looked up one by one, and hashed
        monkeypatch.setattr(reach, "_FEW", most)
        found = api.estimate(either)
        assert {name: found[name] for name in counted} == counted
    nobody = api.estimate({"attribute": "country", "eq": "SE"})
    assert (nobody["size"], nobody["reachable"], nobody["missing"]) == (0, 0, {"country": 1})


def test_segments_are_made_of_segments(api: Api) -> None:
    api.customers("a", "b", "c")
    api.order("a")
    buyers = api.segment("Buyers", ORDER)
    others = api.segment("Others", {"not": {"segment": buyers["id"].upper()}})
    both = api.segment("Both", {"any": [{"segment": buyers["id"]}, {"segment": others["id"]}]})
    assert (buyers["size"], others["size"], both["size"]) == (1, 2, 3)
    assert others["sentence"] == "Customers except in the segment “Buyers”."
    assert api.estimate({"all": [{"segment": both["id"]}, {"not": {"segment": others["id"]}}]})["size"] == 1
    path = f"/v1/segments/{buyers['id']}"
    refused = api.call("PATCH", path, 422, json={"rule": rule({"not": {"segment": both["id"]}})})
    assert [(fault["path"], fault["code"]) for fault in refused["errors"]] == [
        ("$.rule.where.not.segment", "segment_cycle")
    ]
    in_use = api.call("DELETE", path, 409)
    assert in_use["code"] == "segment_in_use"
    assert "“Others”, “Both”" in in_use["detail"]
    at(NOW + timedelta(seconds=2))
    api.call("PATCH", path, json={"rule": rule({"any": []})})
    assert set(api.members(others["id"])) == {"a", "b", "c"}
    for segment in (both, others, buyers):
        api.call("DELETE", f"/v1/segments/{segment['id']}", 204)


def test_a_chain_of_segments_is_never_made_too_deep(api: Api) -> None:
    first, below = (api.segment(name, EVERYONE)["id"] for name in ("first", "below"))
    last = first
    for number in range(9):
        last = api.segment(str(number), {"segment": last})["id"]
    api.segment("tenth", {"segment": last})
    api.segment("below it all", {"segment": below})
    refused = api.call("PATCH", f"/v1/segments/{first}", 422, json={"rule": rule({"segment": below})})
    assert refused["errors"][0]["code"] == "too_deep"
    assert "tenth" in refused["detail"]


def test_what_a_customer_is_in(api: Api) -> None:
    api.customers("a", "b/c")
    api.order("a")
    buyers = api.segment("Buyers", ORDER)
    api.segment("Nobody", {"any": []})
    found = api.call("GET", "/v1/customers/a/segments")
    assert found["data"] == [{"id": buyers["id"], "name": "Buyers", "since": "2026-03-01T12:00:00Z"}]
    assert api.call("GET", "/v1/customers/b%2Fc/segments")["data"] == []
    api.call("GET", "/v1/customers/nobody/segments", 404)


def test_the_background_tells_when_somebody_came(api: Api, db: Database) -> None:
    made = api.segment("Buyers", ORDER)
    api.order("a", NOW)
    at(NOW + timedelta(seconds=5))
    assert tick(db) == 1
    at(NOW + timedelta(hours=1))
    assert api.members(made["id"]) == {"a": "2026-03-01T12:00:05Z"}
