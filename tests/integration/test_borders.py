"""Borders of `rank` and `rfm`: kept, moved as facts change, and nobody between the old and the new one is forgotten."""

from collections.abc import Iterator
from typing import Any

import pytest

from push_server import clock
from push_server.audiences import borders, refresh
from push_server.db import Database
from tests.integration.test_audiences_api import NOW, ORDER, Api, at
from tests.integration.test_refresh_agrees import STEPS, VIEW, World, check, unresting

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


@pytest.fixture
def api(db: Database) -> Iterator[Api]:
    at(NOW)
    made = Api(db)
    with made.client:
        yield made


def live(api: Api, db: Database, seed: int, steps: int) -> None:
    """Members are right after every step."""
    world = Orders(api, seed)
    made = [api.segment(f"{number}", rule)["id"] for number, rule in enumerate(RULES)]
    inner = api.segment("named", {"all": [{"segment": made[0]}, {"not": {"segment": made[7]}}]})["id"]
    api.segment("not named", {"not": {"segment": inner}})
    for number in range(steps):
        for _ in range(world.random.randrange(9)):
            world.happen()
        world.now += world.random.choice(STEPS)
        at(world.now)
        refresh.tick(db)
        try:
            check(db, api.site_id, clock.now())
        except AssertionError as error:
            raise AssertionError(f"in step {number}, at {world.now}") from error


@pytest.mark.parametrize("seed", [1, 2])
def test_members_are_right_after_every_step(api: Api, db: Database, unresting: None, seed: int) -> None:
    live(api, db, seed, 25)
    with db.connect() as conn:
        assert conn.execute("select count(*) from segment where fresh_at > %s", [NOW]).fetchone() == (0,)
        assert conn.execute("select count(*) from segment_border").fetchone() == (11,)


@pytest.mark.parametrize("name", ["_is_touched", "_find_again"])
def test_a_border_left_behind_shows(
    api: Api, db: Database, unresting: None, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    find = borders._find_again
    forgetful = {"_is_touched": lambda *_: False, "_find_again": lambda *all: (find(*all)[0], [])}
    monkeypatch.setattr(borders, name, forgetful[name])
    with pytest.raises(AssertionError, match="in step"):
        live(api, db, 1, 25)
