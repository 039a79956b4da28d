"""A part of the audience tries all variants, and the rest gets the one that did best, once."""

from collections.abc import Iterator
from typing import Any

import pytest

from push_server import clock
from push_server.db import Database
from push_server.delivery.experiments import decide_due
from push_server.delivery.receipts import Fact, record
from tests.doubles.scripted_push import ScriptedPush
from tests.integration.sending import Shop, later, push_service, tick, work

VARIANTS = [{"notification": {"title": title, "url": "https://shop.example/"}} for title in ("A", "B")]


@pytest.fixture
def push(db: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedPush]:
    yield from push_service(monkeypatch)


@pytest.fixture
def shop(db: Database, push: ScriptedPush) -> Shop:
    shop = Shop.create(db, push)
    shop.crowd(60)
    return shop


def started(shop: Shop, **experiment: Any) -> str:
    """A campaign whose experiment is on its way to those who try."""
    asked = {"test_percent": 60, "decide_within": "1h", **experiment}
    campaign = shop.start(variants=VARIANTS, experiment=asked)
    work()
    return campaign


def click(shop: Shop, campaign: str, variant: int) -> int:
    """Everyone who got this variant clicks; how many those are."""
    got = [int(one["id"]) for one in shop.deliveries(campaign, "?state=accepted") if one["variant"] == variant]
    with shop.db.session(site_id=shop.site_id) as session:
        record(session, [Fact(id, "clicked", "", clock.now()) for id in got])
    return len(got)


def finish(shop: Shop, campaign: str) -> None:
    decide_due(shop.db)
    shop.work_until(lambda: shop.state(campaign) == "sent")


def titles(push: ScriptedPush) -> dict[str, int]:
    found: dict[str, int] = {}
    for arrived in push.arrived:
        found[arrived.notification["title"]] = found.get(arrived.notification["title"], 0) + 1
    return found


def test_the_winner_goes_to_all_who_waited(shop: Shop, push: ScriptedPush) -> None:
    campaign = started(shop)
    tried = len(push.arrived)
    assert 20 < tried < 50
    assert shop.states(campaign) == {"accepted": tried, "queued": 60 - tried}
    tick(shop.db)
    decide_due(shop.db)
    work()
    assert len(push.arrived) == tried, "nobody has clicked yet"
    clicks = click(shop, campaign, 1)
    before = titles(push)
    finish(shop, campaign)
    assert titles(push) == {"A": before["A"], "B": before["B"] + 60 - tried}
    assert set(push.shown().values()) == {1}
    found = shop.report(campaign)["experiment"]
    assert (found["metric"], found["leader"], found["winner"], found["is_certain"]) == ("clicked", 1, 1, True)
    assert [one["successes"] for one in found["variants"]] == [0, clicks]
    assert sum(one["sent"] for one in found["variants"]) == tried, "of those who tried, not of those who waited"
    assert found["evidence"] > 20


def test_when_time_is_over_the_leader_is_taken(shop: Shop, push: ScriptedPush) -> None:
    campaign = started(shop, confidence=0.9999)
    first = next(int(one["id"]) for one in shop.deliveries(campaign, "?state=accepted") if one["variant"] == 1)
    with shop.db.session(site_id=shop.site_id) as session:
        record(session, [Fact(first, "clicked", "", clock.now())])
    tried = len(push.arrived)
    later(3500)
    before = titles(push)
    decide_due(shop.db)
    tick(shop.db)
    work()
    assert len(push.arrived) == tried
    later(101)
    finish(shop, campaign)
    assert titles(push)["A"] == before["A"]
    found = shop.report(campaign)["experiment"]
    assert (found["winner"], found["is_certain"]) == (1, False)


def test_those_who_are_planned_after_the_decision_get_the_winner(shop: Shop, push: ScriptedPush) -> None:
    campaign = started(shop)
    tried = len(push.arrived)
    with shop.db.session() as session:  # as though the planner had died before it came to them
        session.raw.execute("delete from delivery where state = 'queued'")
        session.raw.execute("update dispatch set state = 'planning', planned_to = null, due_at = now()")
    click(shop, campaign, 0)
    decide_due(shop.db)
    shop.work_until(lambda: shop.state(campaign) == "sent")
    assert set(push.shown().values()) == {1}
    assert len(push.arrived) == 60
    assert {arrived.notification["title"] for arrived in push.arrived[tried:]} == {"A"}


def test_it_is_stopped_like_any_campaign(shop: Shop, push: ScriptedPush) -> None:
    campaign = started(shop)
    tried = len(push.arrived)
    click(shop, campaign, 1)
    assert shop.api.post(f"/v1/campaigns/{campaign}/pause").status_code == 200
    decide_due(shop.db)
    tick(shop.db)
    work()
    assert len(push.arrived) == tried
    answer = shop.api.post(f"/v1/campaigns/{campaign}/cancel")
    assert answer.json()["deliveries"]["stopped"] == 60 - tried


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"variants": VARIANTS[:1]}, "$.experiment"),
        ({"throttle_per_minute": 5}, "$.throttle_per_minute"),
        ({"schedule": {"best_time": True}}, "$.schedule.best_time"),
        ({"experiment": {"decide_within": "1m"}}, "$.experiment.decide_within"),
        ({"experiment": {"test_percent": 0}}, "$.experiment.test_percent"),
        ({"experiment": {"test_percent": 100}}, "$.experiment.test_percent"),
        ({"experiment": {"confidence": 1}}, "$.experiment.confidence"),
        ({"experiment": {"metric": "shown"}}, "$.experiment.metric"),
    ],
)
def test_no_experiment(shop: Shop, change: dict[str, Any], path: str) -> None:
    body = {"name": "N", "audience": {"include": [shop.segment]}, "variants": VARIANTS, "experiment": {}, **change}
    answer = shop.api.post("/v1/campaigns", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, path)


def test_no_schedule_of_local_times_comes_to_it_later(shop: Shop) -> None:
    campaign = shop.draft(variants=VARIANTS, experiment={})
    answer = shop.api.post(f"/v1/campaigns/{campaign}/schedule", json={"local_time": "09:00"})
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, "$.local_time")
    assert shop.state(campaign) == "draft"
