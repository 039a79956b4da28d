"""Dates in rules are read in the site's zone: one in which they could not be is refused; no rule stops the others."""

from datetime import timedelta
from typing import Any

import pytest

from push_server.audiences import refresh
from push_server.db import Database
from tests.integration.audiences.shop import NOW, ORDER, Api, at

LAST: dict[str, Any] = {"event": "X", "to": "9999-12-31T23:59:59"}
SHORT: dict[str, Any] = {"event": "X", "from": "2026-01-01", "to": "2026-01-01T03:00:00Z"}


@pytest.mark.parametrize("node", [LAST, SHORT])
def test_a_zone_in_which_a_rule_could_not_be_read_is_refused_and_names_it(api: Api, node: dict[str, Any]) -> None:
    api.segment("Buyers", ORDER)
    made = api.segment("Dated", node)["id"]
    refused = api.call("PATCH", "/v1/site", 409, json={"time_zone": "America/New_York", "name": "New"})
    assert refused["code"] == "time_zone_contradicts_segments"
    assert [error["path"] for error in refused["errors"]] == ["$.time_zone"]
    assert "“Dated”: $.rule.where" in refused["errors"][0]["message"]
    assert (api.call("GET", "/v1/site")["time_zone"], api.call("GET", "/v1/site")["name"]) == ("UTC", "Shop")
    api.call("PATCH", "/v1/site", json={"time_zone": "Asia/Tokyo"})
    api.call("DELETE", f"/v1/segments/{made}", 204)
    api.call("PATCH", "/v1/site", json={"time_zone": "America/New_York", "retention": {"default": "400d"}})


def test_a_rule_that_cannot_be_read_stops_no_other(api: Api, db: Database) -> None:
    good = api.segment("Buyers", ORDER)["id"]
    bad = api.segment("Bad", LAST)["id"]
    api.segment("On the bad one", {"segment": bad})
    with db.session() as session:  # as an earlier version may have stored one
        session.raw.execute(
            "update segment set rule = jsonb_set(rule, '{where,to}', '\"10000-01-01\"') where name = 'Bad'"
        )
    api.order("u")
    at(NOW + timedelta(seconds=5))
    refresh.tick(db)
    assert api.members(good).keys() == {"u"}
    assert [row["name"] for row in api.call("GET", "/v1/segments")["data"]] == ["Buyers", "Bad", "On the bad one"]
    assert api.call("GET", f"/v1/segments/{good}")["size"] == 1
    assert {row["name"] for row in api.call("GET", "/v1/customers/u/segments")["data"]} >= {"Buyers"}
    api.segment("New", ORDER)
    assert api.call("DELETE", f"/v1/segments/{bad}", 409)["code"] == "segment_in_use"
    api.call("PATCH", f"/v1/segments/{bad}", json={"rule": {"version": 1, "where": ORDER}})
    refresh.tick(db)
    assert api.members(bad).keys() == {"u"}


def test_the_machines_own_zone_is_none(api: Api) -> None:
    assert api.call("PATCH", "/v1/site", 422, json={"time_zone": "localtime"})["code"] == "bad_time_zone"
