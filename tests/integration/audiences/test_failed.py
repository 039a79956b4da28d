"""Rules that cost too much: their segments say so, rest, and are tried again."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from push_server import clock
from push_server.audiences import backfill, borders, refresh, service
from push_server.audiences.rules import SiteRules
from push_server.db import Database
from push_server.settings import settings
from tests.integration.audiences.shop import EVERYONE, NOW, Api, at, rule
from tests.integration.audiences.test_backfill import finish
from tests.integration.test_refresh_agrees import RULES, World, check

SLOW = {"attribute": "slow", "eq": True}
NOTIFICATION = {"title": "Sale", "url": "https://shop.example/"}


@pytest.fixture
def runaway(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Rules that ask for `slow` take longer than they may, until this is undone."""
    members = SiteRules.members

    def slowly(self: SiteRules, read: Any, *more: Any) -> Any:
        found = members(self, read, *more)
        is_slow = "slow" in self.sentence(read)
        return found.where(select(func.pg_sleep(9)).scalar_subquery().is_not(None)) if is_slow else found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SiteRules, "members", slowly)
        patch.setattr(service, "AT_ONCE", 0.2)
        patch.setattr(backfill, "LEAST_WIDTH", backfill.LAST_ID)
        patch.setenv("HOMING_RULE_TIMEOUT", "0.4")
        settings.cache_clear()
        yield patch
    settings.cache_clear()


def test_a_rule_that_always_takes_too_long_fails_and_says_what_to_do(
    api: Api, db: Database, runaway: pytest.MonkeyPatch
) -> None:
    api.customers("a", "b", slow=True)
    alone = api.segment("Alone", EVERYONE)["id"]
    made = api.segment("Slow", SLOW)
    path = f"/v1/segments/{made['id']}"
    assert made["state"] == "pending"
    finish(db)
    failed = api.call("GET", path)
    assert (failed["state"], failed["size"], failed["fresh_at"]) == ("failed", None, None)
    assert failed["problem"].pop("detail").endswith("Narrow the windows, or split the rule into segments of its own.")
    assert failed["problem"] == {
        "code": "rule_too_slow",
        "since": "2026-03-01T12:00:00Z",
        "retry_at": "2026-03-01T12:01:00Z",
    }
    assert [row["state"] for row in api.call("GET", "/v1/segments")["data"]] == ["ready", "failed"]
    for method, place, body in [
        ("GET", f"{path}/members", None),
        ("POST", f"{path}/export", None),
        ("POST", "/v1/segments/overlap", {"segments": [alone, made["id"]]}),
    ]:
        refused = api.call(method, place, 409, json=body)
        assert refused["code"] == "segment_failed"
        assert "“Slow” could not be found. Finding the members took longer than 0.4 s" in refused["detail"]


def test_it_rests_longer_each_time_and_is_ready_once_it_can_be(
    api: Api, db: Database, runaway: pytest.MonkeyPatch
) -> None:
    api.customers("a", "b", slow=True)
    path = f"/v1/segments/{api.segment('Slow', SLOW)['id']}"
    finish(db)
    assert backfill.tick(db) == 0  # it rests
    at(NOW + timedelta(seconds=59))
    assert backfill.tick(db) == 0
    at(NOW + timedelta(minutes=1))
    finish(db)
    problem = api.call("GET", path)["problem"]
    assert (problem["since"], problem["retry_at"]) == ("2026-03-01T12:00:00Z", "2026-03-01T12:03:00Z")
    runaway.undo()
    settings.cache_clear()
    retried = api.call("POST", f"{path}/retry")
    assert (retried["state"], retried["problem"]) == ("pending", None)
    finish(db)
    ready = api.call("POST", f"{path}/retry")  # which changes nothing now
    assert (ready["state"], ready["size"], ready["problem"]) == ("ready", 2, None)


def test_another_rule_ends_it(api: Api, db: Database, runaway: pytest.MonkeyPatch) -> None:
    api.customers("a", "b", slow=True)
    path = f"/v1/segments/{api.segment('Slow', SLOW)['id']}"
    finish(db)
    changed = api.call("PATCH", path, json={"rule": rule(EVERYONE)})
    assert (changed["state"], changed["size"], changed["problem"]) == ("ready", 2, None)
    assert backfill.tick(db) == 0


def test_a_ready_segment_that_cannot_be_found_anew_stays_as_it_was_and_says_so(
    api: Api, db: Database, runaway: pytest.MonkeyPatch
) -> None:
    api.customers("a", "b", slow=True)
    with pytest.MonkeyPatch.context() as quick:
        quick.setattr(SiteRules, "sentence", lambda *_: "")
        made = api.segment("Slow", SLOW)
    path = f"/v1/segments/{made['id']}"
    assert made["state"] == "ready"
    at(NOW - timedelta(minutes=1))  # everything is found anew
    api.call("GET", path)
    finish(db)
    now = api.call("GET", path)
    assert (now["state"], now["size"], now["fresh_at"]) == ("ready", 2, "2026-03-01T12:00:00Z")
    assert (now["problem"]["code"], now["problem"]["retry_at"]) == ("rule_too_slow", "2026-03-01T12:00:00Z")
    assert set(api.members(made["id"])) == {"a", "b"}
    runaway.undo()
    settings.cache_clear()
    at(NOW)
    finish(db)
    now = api.call("GET", path)
    assert (now["problem"], now["fresh_at"]) == (None, "2026-03-01T12:00:00Z")


def test_a_campaign_waits_for_what_is_pending_and_is_refused_what_failed(
    api: Api, db: Database, runaway: pytest.MonkeyPatch
) -> None:
    api.customers("a", slow=True)
    slow = api.segment("Slow", SLOW)["id"]
    draft = {"name": "C", "audience": {"include": [slow]}, "variants": [{"notification": NOTIFICATION}]}
    path = f"/v1/campaigns/{api.call('POST', '/v1/campaigns', 201, json=draft)['id']}"
    assert api.call("POST", f"{path}/preview", 409)["code"] == "segment_pending"
    finish(db)
    assert api.call("POST", f"{path}/preview", 409)["code"] == "segment_failed"
    assert api.call("POST", f"{path}/send", 409)["code"] == "segment_failed"
    assert api.call("GET", path)["state"] == "draft"


def test_a_rule_is_refused_at_once_where_the_limit_is_as_short(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    api.customers(*(f"c{number}" for number in range(50)), text="x" * 1000)
    heavy = {"any": [{"attribute": "text", "contains": f"y{number}"} for number in range(400)]}
    monkeypatch.setenv("HOMING_RULE_TIMEOUT", "0.001")
    settings.cache_clear()
    assert api.segment("Too heavy", heavy, 422)["code"] == "rule_too_slow"
    assert api.call("POST", "/v1/segments/estimate", 422, json={"rule": rule(heavy)})["code"] == "rule_too_slow"


def test_borders_that_take_long_are_found_in_the_background(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if each search took longer than a step may."""
    at(NOW)
    monkeypatch.setattr(borders, "SLOW", -1)
    world = World(Api(db), 11)
    asked = [node for node in RULES if "rank" in node or "rfm" in node]
    with world.api.client:
        for number, node in enumerate(asked):
            world.api.segment(f"{number}", node)
        for _ in range(12):
            for _ in range(6):
                world.happen()
            world.now += timedelta(minutes=17)
            at(world.now)
            refresh.tick(db)
            finish(db)
            check(db, world.api.site_id, clock.now())
