"""Segments over time: members at a past instant, entries and exits, growth."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.integration.audiences.shop import EVERYONE, NOW, ORDER, Api, at, rule

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
VIP = {"attribute": "vip", "eq": True}


def rfc3339(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")


def members(api: Api, id: str, instant: datetime, basis: str, limit: int = 2) -> dict[str, str | None]:
    """external id → since, by pages."""
    found: dict[str, str | None] = {}
    more: dict[str, Any] = {}
    while True:
        params = {"as_of": rfc3339(instant), "limit": limit, **more}
        page = api.call("GET", f"/v1/segments/{id}/members", params=params)
        assert page["basis"] == basis
        for row in page["data"]:
            assert row["external_id"] not in found
            found[row["external_id"]] = row["since"]
        if page["next_cursor"] is None:
            return found
        more = {"cursor": page["next_cursor"]}


def every_change(api: Api, id: str, **params: Any) -> list[tuple[str, str, str]]:
    found, more = [], {"limit": 3, **params}
    while True:
        page = api.call("GET", f"/v1/segments/{id}/changes", params=more)
        found += [(row["at"], row["change"], row["external_id"]) for row in page["data"]]
        if page["next_cursor"] is None:
            return found
        more |= {"cursor": page["next_cursor"]}


def test_what_was_told_is_what_there_was(api: Api) -> None:
    chance = random.Random(5)
    names = [f"c{number}" for number in range(6)]
    api.customers(*names)
    id = api.segment("Vip", VIP)["id"]
    was: dict[datetime, dict[str, str]] = {}
    for number in range(1, 25):
        instant = NOW + number * HOUR
        at(instant)
        for name in chance.sample(names, 2):
            api.customers(name, vip=chance.random() < 0.6)
        was[instant] = api.members(id)
    assert any(was.values())
    at(NOW + 25 * HOUR)
    for instant, expected in was.items():
        assert members(api, id, instant, "recorded") == expected
        assert set(members(api, id, instant + HOUR - timedelta(microseconds=1), "recorded")) == set(expected)
    # the changes lead from each to the next
    told, stand = every_change(api, id), set[str]()
    assert told == sorted(told, key=lambda change: change[0])
    for instant, expected in was.items():
        for moment, change, name in told:
            if moment == rfc3339(instant):
                assert (name in stand) == (change == "left")
                stand ^= {name}
        assert stand == set(expected)
    # and so do the steps of growth
    steps = api.call("GET", f"/v1/segments/{id}/growth", params={"from": rfc3339(NOW), "step": "1h"})["steps"]
    assert len(steps) == 25
    for step in steps[1:]:
        here = [change for moment, change, _name in told if step["start"] <= moment < step["end"]]
        assert (step["entered"], step["left"]) == (here.count("entered"), here.count("left"))
        assert step["size"] == len(was[datetime.fromisoformat(step["start"])])


def test_before_its_rule_was_in_force_the_rule_is_asked(api: Api) -> None:
    api.customers("a", "b", vip=True)
    api.order("a", NOW - DAY)
    api.order("b", NOW - HOUR)
    id = api.segment("Buyers", ORDER)["id"]
    assert members(api, id, NOW - 2 * DAY, "evaluated") == {}
    assert members(api, id, NOW - DAY, "evaluated") == {"a": None}
    assert members(api, id, NOW - HOUR, "evaluated") == {"a": None, "b": None}
    assert members(api, id, NOW, "recorded") == {"a": "2026-03-01T12:00:00Z", "b": "2026-03-01T12:00:00Z"}
    at(NOW + HOUR)
    api.call("PATCH", f"/v1/segments/{id}", json={"name": "Same rule"})
    assert set(members(api, id, NOW, "recorded")) == {"a", "b"}
    api.call("PATCH", f"/v1/segments/{id}", json={"rule": rule({**ORDER, "within": "2h"})})
    at(NOW + 3 * HOUR)
    assert members(api, id, NOW - DAY, "evaluated") == {"a": None}
    assert members(api, id, NOW, "evaluated") == {"b": None}
    assert members(api, id, NOW + HOUR, "recorded") == {}
    assert api.call("GET", f"/v1/segments/{id}/growth", params={"from": "2026-03-01"})["rule_since"] == rfc3339(
        NOW + HOUR
    )


def test_no_member_is_missed_or_told_twice_from_page_to_page(api: Api) -> None:
    names = [f"c{number}" for number in range(7)]
    api.customers(*names, vip=True)
    id = api.segment("Vip", VIP)["id"]
    at(NOW + HOUR)
    path, params = f"/v1/segments/{id}/members", {"limit": 4, "as_of": rfc3339(NOW)}
    first = api.call("GET", path, params=params)
    api.customers(*names[:5], vip=False)
    at(NOW + 2 * HOUR)
    rest = api.call("GET", path, params=params | {"cursor": first["next_cursor"]})
    assert sorted(row["external_id"] for row in first["data"] + rest["data"]) == names
    assert set(api.members(id)) == set(names[5:])


def test_changes_of_a_stretch_of_time(api: Api) -> None:
    api.customers("a", "b", vip=True)
    id = api.segment("Vip", VIP)["id"]
    for number, name in enumerate("ab", 1):
        at(NOW + number * HOUR)
        api.customers(name, vip=False)
        api.members(id)
    told = every_change(api, id)
    assert [(change, name) for _moment, change, name in told[2:]] == [("left", "a"), ("left", "b")]
    assert {name for _moment, change, name in told[:2] if change == "entered"} == {"a", "b"}
    assert every_change(api, id, **{"from": rfc3339(NOW + HOUR), "to": rfc3339(NOW + 2 * HOUR)}) == told[2:3]
    assert every_change(api, id, to="2026-03-01") == []
    assert every_change(api, id, **{"from": "2026-03-01"}) == told


def test_a_merged_customers_past_is_one(api: Api) -> None:
    seen = {"event": "Seen"}
    id = api.segment("Seen", {**seen, "within": "3h"})["id"]
    api.call("POST", "/v1/track", json={"anonymousId": "browser", **seen, "timestamp": rfc3339(NOW)})
    api.call("GET", f"/v1/segments/{id}")
    at(NOW + HOUR)
    api.call("POST", "/v1/track", json={"userId": "a", **seen, "timestamp": rfc3339(NOW + HOUR)})
    api.call("GET", f"/v1/segments/{id}")
    at(NOW + 2 * HOUR)
    api.call("POST", "/v1/identify", json={"anonymousId": "browser", "userId": "a"})
    assert set(api.members(id)) == {"a"}
    assert set(members(api, id, NOW, "recorded")) == {"a"}
    at(NOW + 4 * HOUR)
    api.members(id)
    at(NOW + 5 * HOUR)
    steps = api.call("GET", f"/v1/segments/{id}/growth", params={"from": rfc3339(NOW), "step": "1h"})["steps"]
    assert [(step["entered"], step["size"], step["left"]) for step in steps] == [
        (1, 1, 0),
        (0, 1, 0),
        (0, 1, 0),
        (0, 1, 0),
        (0, 0, 1),
    ]


def test_days_of_growth_are_the_shops(api: Api) -> None:
    api.call("PATCH", "/v1/site", json={"time_zone": "Europe/Budapest"})
    at(datetime(2026, 3, 28, 12, tzinfo=UTC))
    id = api.segment("All", EVERYONE)["id"]
    for number, instant in enumerate(("2026-03-28T22:30", "2026-03-29T21:30", "2026-03-29T22:00", "2026-03-30T12:00")):
        at(datetime.fromisoformat(instant + "+00:00"))
        api.customers(f"c{number}")
        api.call("GET", f"/v1/segments/{id}")
    at(datetime(2026, 3, 31, 12, tzinfo=UTC))
    found = api.call("GET", f"/v1/segments/{id}/growth", params={"from": "2026-03-28"})["steps"]
    assert [(step["start"], step["entered"], step["size"]) for step in found] == [
        ("2026-03-27T23:00:00Z", 1, 1),
        ("2026-03-28T23:00:00Z", 1, 2),  # 23 hours long
        ("2026-03-29T22:00:00Z", 2, 4),
        ("2026-03-30T22:00:00Z", 0, 4),
    ]
    assert found[-1]["end"] == "2026-03-31T12:00:00Z"
