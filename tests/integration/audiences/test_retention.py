"""How long events are kept: set by the shop, refused where rules ask for more, deleted in small steps."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from push_server import clock
from push_server.db import Database
from push_server.events import ingest, retention
from push_server.events.orders import ORDER_EVENTS
from push_server.events.partitions import years
from push_server.loyalty.happenings import LoyaltyEvents
from push_server.sites.retention import KEPT_FOR_EVER
from tests.integration.audiences.shop import NOW, Api, at, rule

DAY = timedelta(days=1)
VIEW = {"event": "Product Viewed"}


def keep(api: Api, status: int = 200, **given: Any) -> Any:
    return api.call("PATCH", "/v1/site", status, json={"retention": given})


def view(api: Api, who: str, age: timedelta, event: str = "Product Viewed", **more: Any) -> None:
    properties = {"category": "dog", "price": 5, **more}
    sent = {"userId": who, "event": event, "timestamp": (clock.now() - age).isoformat(), "properties": properties}
    api.call("POST", "/v1/track", json=sent)


def delete_old(db: Database) -> int:
    """What the scheduler does within a quarter of an hour."""
    retention.plan(db)
    at(clock.now() + retention.NOTICE)
    gone = 0
    while done := retention.work(db):
        gone += done
    return gone


def rows(db: Database, query: str) -> list[tuple[Any, ...]]:
    with db.connect() as conn:
        return conn.execute(query).fetchall()


def test_what_is_set_is_told_and_fields_left_out_stay(api: Api) -> None:
    assert api.call("GET", "/v1/site")["retention"] == {"default": None, "events": {}}
    told = keep(api, default="730d", events={"Viewed Product": "400d", "Searched": None})["retention"]
    assert told == {"default": "730d", "events": {"Product Viewed": "400d", "Searched": None}}
    assert keep(api, default=None)["retention"] == {**told, "default": None}
    assert api.call("PATCH", "/v1/site", json={"name": "New"})["retention"] == {**told, "default": None}
    assert api.call("PATCH", "/v1/site", json={"retention": None})["retention"] == {"default": None, "events": {}}


def test_the_books_are_kept_for_ever() -> None:
    assert {*ORDER_EVENTS, *LoyaltyEvents.names} == KEPT_FOR_EVER


BEYOND: list[tuple[dict[str, Any], str]] = [
    ({**VIEW, "within": "401d"}, "$.rule.where"),
    ({**VIEW, "from": "2026-01-01"}, "$.rule.where"),
    ({**VIEW, "to": "2026-01-01"}, "$.rule.where"),
    ({**VIEW, "where": {"price": {"gte": 3}}}, "$.rule.where"),
    ({**VIEW, "where": {"category": {"contains": "dog"}}}, "$.rule.where"),
    ({**VIEW, "sum": {"of": "weight", "gte": 3}}, "$.rule.where"),
    ({**VIEW, "avg": {"of": "price", "gte": 3}}, "$.rule.where"),
    ({**VIEW, "distinct": {"of": "product_id", "gte": 3}}, "$.rule.where"),
    ({**VIEW, "last": {"before": "401d"}}, "$.rule.where"),
    ({**VIEW, "first": {"within": "500d"}}, "$.rule.where"),
    ({"sequence": [VIEW, {"event": "Searched"}]}, "$.rule.where"),
    ({"sequence": [{"event": "Searched"}, {**VIEW, "absent": True}], "gap": "1h"}, "$.rule.where"),
    ({"rank": {"by": VIEW, "top_percent": 20}}, "$.rule.where"),
    ({"all": [{"attribute": "a", "eq": 1}, {"not": {**VIEW, "within": "500d"}}]}, "$.rule.where.all[1].not"),
    ({"any": [{"event": "Viewed Product", "within": "500d"}]}, "$.rule.where.any[0]"),
]
WITHIN: list[dict[str, Any]] = [
    {**VIEW, "within": "400d"},
    {**VIEW, "where": {"price": {"gte": 3}}, "within": "400d"},
    {**VIEW, "where": {"category": {"in": ["dog", "cat"]}}, "count": {"gte": 2}},
    {**VIEW, "sum": {"of": "revenue", "gte": 3}},
    {**VIEW, "max": {"of": "price", "gte": 3}},
    {**VIEW, "last": {"before": "400d"}},
    {**VIEW, "last": {"within": "400d"}, "where": {"price": {"gte": 3}}},
    {**VIEW, "first": {"before": "30d"}},
    {"sequence": [VIEW, {"event": "Searched"}], "within": "30d"},
    {"rank": {"by": {**VIEW, "within": "90d"}, "top_percent": 20}},
    {"event": "Searched", "within": "3000d"},
    {"event": "Order Completed", "sum": {"of": "revenue", "gte": 3}},
    {"event": "Order Refunded", "where": {"reason": {"eq": "x"}}},
]


def test_a_rule_that_would_become_wrong_is_refused(api: Api) -> None:
    keep(api, events={"Product Viewed": "400d"})
    for node, path in BEYOND:
        for where, body in (("segments", {"name": "S"}), ("segments/estimate", {})):
            told = api.call("POST", f"/v1/{where}", 422, json={**body, "rule": rule(node)})
            assert [(fault["path"], fault["code"]) for fault in told["errors"]] == [(path, "beyond_retention")], node
            assert "Product Viewed" in told["errors"][0]["message"]
            assert "kept for 400d" in told["errors"][0]["message"]
    for number, node in enumerate(WITHIN):
        api.segment(str(number), node)


def test_a_retention_that_stored_rules_contradict_is_refused(api: Api) -> None:
    api.segment("Browsed this year", {**VIEW, "within": "365d"})
    api.segment("Searched a lot", {"event": "Searched", "where": {"q": {"eq": "x"}}, "count": {"gte": 3}})
    told = keep(api, 409, default="100d")
    assert told["code"] == "retention_contradicts_segments"
    assert [fault["path"] for fault in told["errors"]] == ["$.retention", "$.retention"]
    assert "“Browsed this year”" in told["errors"][0]["message"]
    assert "“Searched a lot”" in told["errors"][1]["message"]
    assert api.call("GET", "/v1/site")["retention"]["default"] is None
    keep(api, default="365d", events={"Searched": None})


def test_old_events_go_with_their_bodies_and_are_still_counted(api: Api, db: Database) -> None:
    for age in (500, 400, 100, 1):
        view(api, "ada", DAY * age, price=age)
    view(api, "bob", DAY * 500, category="cat")
    api.order("ada", NOW - DAY * 500, revenue=5)
    view(api, "ada", DAY * 500, event="Searched")
    keep(api, events={"Product Viewed": "200d"})
    often = api.segment("Often", {**VIEW, "count": {"gte": 4}})
    assert delete_old(db) == 3
    assert rows(db, "select count(*) from event") == rows(db, "select count(*) from event_body") == [(4,)]
    assert list(api.members(often["id"])) == ["ada"]
    assert api.estimate({**VIEW, "sum": {"of": "price", "eq": 1001}})["size"] == 1
    assert api.estimate({**VIEW, "where": {"category": {"eq": "cat"}}})["size"] == 1
    assert api.estimate({**VIEW, "last": {"before": "200d"}})["size"] == 1
    assert api.estimate({"event": "Order Completed"})["size"] == 1
    assert api.call("GET", "/v1/site/retention")["data"] == [
        {
            "event": "Product Viewed",
            "kept": "200d",
            "deleted_before": clock.rfc3339(NOW - 200 * DAY - timedelta(hours=1)),
            "done_before": clock.rfc3339(NOW - 200 * DAY - timedelta(hours=1)),
            "deleted": 3,
        }
    ]
    told = api.call("GET", f"/v1/segments/{often['id']}/explain/ada")["tree"]
    assert (told["truth"], told["observed"]) == (True, 4)
    view(api, "bob", DAY, price=1)
    view(api, "bob", DAY, price=1)
    assert list(api.members(often["id"])) == ["ada"]
    view(api, "bob", DAY, price=1)
    assert set(api.members(often["id"])) == {"ada", "bob"}


def test_nothing_goes_before_statements_can_know_and_what_was_a_mistake_can_be_taken_back(
    api: Api, db: Database
) -> None:
    view(api, "ada", DAY * 500)
    keep(api, default="30d")
    retention.plan(db)
    at(NOW + retention.NOTICE - timedelta(seconds=1))
    assert retention.work(db) == 0
    keep(api, default=None)
    at(NOW + DAY)
    assert retention.work(db) == 0
    retention.plan(db)
    assert rows(db, "select 1 from event_horizon") == []
    api.segment("All there", {**VIEW, "within": "600d"})
    assert api.estimate({**VIEW, "within": "600d"})["size"] == 1


def test_what_is_gone_stays_gone_when_more_is_kept_later(api: Api, db: Database) -> None:
    view(api, "ada", DAY * 50)
    keep(api, default="30d")
    assert delete_old(db) == 1
    keep(api, default="90d")
    told = api.call("POST", "/v1/segments", 422, json={"name": "S", "rule": rule({**VIEW, "within": "60d"})})
    assert told["errors"][0]["code"] == "beyond_retention"
    assert "from before 2026-01-30T" in told["errors"][0]["message"]
    at(NOW + 31 * DAY)
    api.segment("S", {**VIEW, "within": "60d"})


def test_the_past_is_only_asked_where_it_is_known(api: Api, db: Database) -> None:
    view(api, "ada", DAY * 50)
    view(api, "ada", DAY * 10)
    keep(api, default="30d")
    delete_old(db)
    node = {**VIEW, "within": "10d"}
    assert api.estimate(node, at=(NOW - DAY).isoformat())["size"] == 1
    for body in ({"rule": rule(node)}, {"rule": rule(VIEW)}):
        past = (NOW - DAY * 40).isoformat()
        told = api.call("POST", "/v1/segments/estimate", 422, json={**body, "at": past})
        assert (told["code"], told["errors"][0]["path"]) == ("before_retention", "$.at")
    segment = api.segment("S", node)
    past = (NOW - DAY * 25).isoformat()
    told = api.call("GET", f"/v1/segments/{segment['id']}/members", 422, params={"as_of": past})
    assert told["code"] == "before_retention"
    api.estimate({"event": "Order Completed"}, at=(NOW - DAY * 400).isoformat())


def test_what_comes_too_late_is_not_counted_twice(api: Api, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shop that sends its history once more must not double what was added up."""
    monkeypatch.setattr(ingest, "KEY_SECONDS", 0.0)
    history = [
        {"type": "track", "userId": "ada", **VIEW, "messageId": f"m{age}", "timestamp": (NOW - DAY * age).isoformat()}
        for age in (20, 50, 80)
    ]
    api.call("POST", "/v1/batch", json={"batch": history})
    keep(api, default="30d")
    three = api.segment("Three", {**VIEW, "count": {"eq": 3}})
    assert delete_old(db) == 2
    api.call("POST", "/v1/batch", json={"batch": history})
    assert rows(db, "select count(*) from event") == [(1,)]
    assert list(api.members(three["id"])) == ["ada"]
    keep(api, default=None)
    api.call("POST", "/v1/batch", json={"batch": history})
    assert rows(db, "select count(*) from event") == [(3,)]
    assert retention.work(db) == 2
    assert rows(db, "select count(*) from event_body") == [(1,)]
    assert list(api.members(three["id"])) == ["ada"]
    assert rows(db, "select sum(many) from event_rollup where property = ''") == [(2,)]


def test_customers_who_turn_out_to_be_one_have_one_past(api: Api, db: Database) -> None:
    for who in ({"anonymousId": "b1"}, {"userId": "ada"}, {"userId": "ada"}):
        sent = {**who, **VIEW, "timestamp": (NOW - DAY * 50).isoformat(), "properties": {"price": 2}}
        api.call("POST", "/v1/track", json=sent)
    keep(api, default="30d")
    assert delete_old(db) == 3
    three = api.segment("Three", {**VIEW, "count": {"eq": 3}})
    assert api.members(three["id"]) == {}
    api.call("POST", "/v1/identify", json={"anonymousId": "b1", "userId": "ada"})
    assert list(api.members(three["id"])) == ["ada"]
    assert api.estimate({**VIEW, "sum": {"of": "price", "eq": 6}})["size"] == 1


def test_a_year_without_events_loses_its_table(api: Api, db: Database) -> None:
    with db.connect() as conn:
        first, *_ = years(conn)
    middle = datetime(first, 6, 1, tzinfo=UTC)
    sent = {"userId": "ada", **VIEW, "timestamp": middle.isoformat()}
    api.call("POST", "/v1/track", json=sent)
    at(datetime(first + 1, 12, 1, tzinfo=UTC))
    keep(api, default="30d")
    assert delete_old(db) == 1
    retention.plan(db)
    with db.connect() as conn:
        assert first not in years(conn)
    assert api.estimate(VIEW)["size"] == 1
    view(api, "bob", DAY)
    assert api.estimate(VIEW)["size"] == 2
