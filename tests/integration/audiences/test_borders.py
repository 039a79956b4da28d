"""Borders of `rank` and `rfm`: kept, moved as facts change, and nobody between the old and the new one is forgotten."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from push_server import clock
from push_server.audiences import borders, refresh, worths
from push_server.db import Database
from tests.integration.audiences.shop import NOW, ORDER, Api, at
from tests.integration.test_refresh_agrees import VIEW, World, check, go_on, unresting

__all__ = ["unresting"]

BEST: dict[str, Any] = {"rank": {"by": {**ORDER, "sum": "revenue", "within": "2d"}, "top_percent": 40}}
MOST: dict[str, Any] = {"rank": {"by": {**ORDER}, "top_percent": 25}}
OF_DOGS: dict[str, Any] = {
    "rank": {"by": {**VIEW, "where": {"category": {"eq": "dog"}}, "within": "1d"}, "top_percent": 50}
}
SCORED: dict[str, Any] = {"rfm": {"recency": {"gte": 3}, "monetary": {"gte": 3}}}
RULES: list[dict[str, Any]] = [
    BEST,
    MOST,
    {"rank": {"by": {**ORDER, "avg": "revenue", "within": "1d"}, "top_percent": 30}},
    {"rank": {"by": {**ORDER, "min": "revenue", "where": {"revenue": {"lt": 30}}}, "top_percent": 60}},
    {"rank": {"by": {**VIEW, "within": "3h"}, "top_percent": 10}},
    {"rank": {"by": {**VIEW, "distinct": "product_id", "within": "1d"}, "top_percent": 50}},
    OF_DOGS,
    SCORED,
    {"rfm": {"frequency": {"between": [2, 4]}}},
    {"rfm": {"monetary": {"lte": 2}}},
    {"all": [BEST, {"not": MOST}]},
    {"any": [{**VIEW, "within": "1h"}, {"all": [SCORED, {"not": OF_DOGS}]}]},
    {"not": {"rank": {"by": {**ORDER, "sum": "revenue"}, "top_percent": 20}}},
]


class Orders(World):
    """A shop where orders come and go, and customers with them."""

    def happen(self) -> None:
        self.number += 1
        often = [self.order, self.order, self.order, self.order, self.event, self.refund, self.refund]
        self.random.choice([*often, self.merge, self.erase, self.trait])()


def live(api: Api, db: Database, seed: int, steps: int, is_right: Callable[[], None] = lambda: None) -> None:
    """Members are right after every step, and what `is_right` asserts."""
    world = Orders(api, seed)
    made = [api.segment(f"{number}", rule)["id"] for number, rule in enumerate(RULES)]
    inner = api.segment("named", {"all": [{"segment": made[0]}, {"not": {"segment": made[7]}}]})["id"]
    api.segment("not named", {"not": {"segment": inner}})
    go_on(world, db, steps, is_right)


@pytest.fixture
def searched(unresting: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every border is found over everyone, as while worths are not yet stored."""
    monkeypatch.setattr(worths.Worths, "tell", lambda *_: False)


@pytest.mark.usefixtures("searched")
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.nightly)])
def test_members_are_right_after_every_step(api: Api, db: Database, seed: int) -> None:
    live(api, db, seed, 25)
    with db.connect() as conn:
        assert conn.execute("select count(*) from segment where fresh_at > %s", [NOW]).fetchone() == (0,)
        assert conn.execute("select count(*) from segment_border").fetchone() == (11,)


@pytest.mark.usefixtures("searched")
@pytest.mark.parametrize("name", ["_is_touched", "_find_again"])
def test_a_border_left_behind_shows(api: Api, db: Database, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    find = borders._find_again
    forgetful = {"_is_touched": lambda *_: False, "_find_again": lambda *all: (find(*all)[0], [])}
    monkeypatch.setattr(borders, name, forgetful[name])
    with pytest.raises(AssertionError, match="in step"):
        live(api, db, 1, 25)


def names(api: Api, id: str) -> set[str]:
    """Who is in, after a step."""
    return set(api.members(id))


def test_a_customers_own_order_counts_at_once_and_moves_the_border_later(
    api: Api, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worths.Worths, "tell", lambda *_: False)  # as while they are not yet stored
    for place, name in enumerate("abcde"):
        api.order(name, revenue=10 * (place + 1))
    best = {"rank": {"by": {**ORDER, "sum": "revenue"}, "top_percent": 40}}
    made, other = api.segment("best", best)["id"], api.segment("the others", {"not": best})["id"]
    assert (names(api, made), names(api, other)) == ({"d", "e"}, {"a", "b", "c"})
    with db.connect() as conn:
        conn.execute("update segment_border set cost_ms = 800")  # so it rests for 3.2 s, and is at most 4.8 s late
    at(NOW + timedelta(seconds=1))
    api.order("a", NOW + timedelta(seconds=1), order_id="more", revenue=40)
    assert names(api, made) == {"a", "d", "e"}, "a by his own order, and the border of 40 is as it was"
    found = api.call("GET", f"/v1/segments/{made}")
    assert found["border"] == {"as_of": "2026-03-01T12:00:00Z", "at_most_late_s": 4.8}
    assert found["fresh_at"] == "2026-03-01T12:00:01Z"
    at(NOW + timedelta(seconds=4))
    assert (names(api, made), names(api, other)) == ({"a", "e"}, {"b", "c", "d"})
    assert api.members(made)["a"] == "2026-03-01T12:00:01Z"
    found = api.call("GET", f"/v1/segments/{made}")
    assert found["border"] == {"as_of": "2026-03-01T12:00:04Z", "at_most_late_s": 2.0}
    at(NOW + timedelta(hours=1))
    assert api.call("GET", "/v1/segments")["data"][1]["border"]["as_of"] == "2026-03-01T13:00:00Z", "nothing moved it"


def test_who_ties_with_the_border_is_in(api: Api, unresting: None) -> None:
    for name in "abcd":
        api.order(name, revenue=20)
    made = api.segment("best", {"rank": {"by": {**ORDER, "sum": "revenue"}, "top_percent": 25}})["id"]
    assert names(api, made) == {"a", "b", "c", "d"}
    at(NOW + timedelta(seconds=10))
    api.order("a", NOW + timedelta(seconds=10), revenue=1)
    assert names(api, made) == {"a"}
    at(NOW + timedelta(seconds=20))
    cancelled = {"order_id": f"a-{(NOW + timedelta(seconds=10)).isoformat()}"}
    api.call("POST", "/v1/track", json={"event": "Order Cancelled", "userId": "a", "properties": cancelled})
    assert names(api, made) == {"a", "b", "c", "d"}


def test_a_border_ends_with_the_last_segment_that_asks_for_it(api: Api, db: Database) -> None:
    best = {"rank": {"by": {**ORDER, "sum": "revenue"}, "top_percent": 50}}
    for place, name in enumerate("abcd"):
        api.order(name, revenue=10 * (place + 1))
    made, inner = api.segment("best", best)["id"], api.segment("again", {**best})["id"]
    assert count(db) == 1, "equal conditions share it"
    for id in (made, inner):
        api.call("DELETE", f"/v1/segments/{id}", 204)
    at(NOW + timedelta(seconds=10))
    api.order("a", NOW + timedelta(seconds=10), order_id="more", revenue=90)
    refresh.tick(db)
    assert count(db) == 0
    assert names(api, api.segment("best", best)["id"]) == {"a", "d"}


def test_another_zone_finds_every_border_anew(api: Api, db: Database, unresting: None) -> None:
    """A date without an hour is a day's beginning in the site's zone."""
    since = {"since": {"before": "2026-03-01"}}
    for place, day in enumerate(["2026-02-28T22:30:00Z", "2026-02-28T23:30:00Z", "2026-02-28T20:00:00Z"]):
        api.order("abc"[place], revenue=10 * (place + 1), since=day)
    made = api.segment("best", {"rank": {"by": {**ORDER, "sum": "revenue", "where": since}, "top_percent": 50}})["id"]
    assert names(api, made) == {"b", "c"}
    at(NOW + timedelta(seconds=10))
    with db.connect() as conn:
        conn.execute("update site set time_zone = 'Europe/Budapest'")
    refresh.tick(db)
    check(db, api.site_id, clock.now())
    assert names(api, made) == {"c"}


def count(db: Database) -> int:
    """How many borders are stored."""
    with db.connect() as conn:
        (found,) = conn.execute("select count(*) from segment_border").fetchall()[0]
        return int(found)
