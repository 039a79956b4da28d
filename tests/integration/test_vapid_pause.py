"""A push service that rejects a site's VAPID key: its sending waits with an alert, and a single bad subscription does
not stop a shop.
"""

from collections.abc import Iterator

import pytest
import redis

from push_server.db import Database
from push_server.delivery import gate
from push_server.delivery.vapid_pause import LATEST, PROBE_EVERY, REJECTED, KeyWatch
from tests.doubles.scripted_push import Answer, ScriptedPush
from tests.integration.sending import Shop, lose_redis, push_service, stand, work
from tests.integration.test_push_health import turn, turn_until_sent


@pytest.fixture
def push(db: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedPush]:
    monkeypatch.setattr(gate, "_watch", KeyWatch())
    yield from push_service(monkeypatch)


@pytest.fixture
def shop(db: Database, push: ScriptedPush) -> Shop:
    stand()
    return Shop.create(db, push)


def rejected_shop(shop: Shop, push: ScriptedPush, size: int = 12) -> str:
    """A campaign of a shop whose key nobody takes any more, after its first chunk."""
    shop.crowd(size)
    push.usual = Answer(403)
    campaign = shop.start()
    work()
    return campaign


def test_a_rejected_key_pauses_with_an_alert_and_burns_nothing(shop: Shop, push: ScriptedPush) -> None:
    campaign = rejected_shop(shop, push)
    assert shop.states(campaign) == {"queued": 12}
    answer = shop.api.get("/v1/push-services").json()
    [alert] = answer["alerts"]
    assert (alert["code"], alert["origin"], alert["status_code"]) == ("vapid_rejected", push.origin, 403)
    assert alert["vapid_public_key"] == shop.site.vapid_public_key
    assert "POST /v1/push-services/resume" in alert["message"]
    assert answer["data"][0]["answers"]["key_rejected"] == 12
    lose_redis()  # the pause outlives it
    for _ in range(4):
        turn(shop, 120)
    assert push.asked.total() == 12
    subscriptions = shop.api.get("/v1/subscriptions").json()["data"]
    assert {one["state"] for one in subscriptions} == {"active"}


def test_a_probe_that_is_accepted_ends_the_pause(shop: Shop, push: ScriptedPush) -> None:
    campaign = rejected_shop(shop, push)
    turn(shop, PROBE_EVERY.total_seconds() + 1)
    assert push.asked.total() == 13
    assert shop.states(campaign) == {"queued": 12}
    push.usual = Answer()
    turn_until_sent(shop, campaign, 150)
    assert shop.states(campaign) == {"accepted": 12}
    assert shop.api.get("/v1/push-services").json()["alerts"] == []


def test_a_call_ends_the_pause(shop: Shop, push: ScriptedPush) -> None:
    campaign = rejected_shop(shop, push)
    push.usual = Answer()
    assert shop.api.post("/v1/push-services/resume", json={"origin": "https://other.example"}).json() == {"lifted": 0}
    assert shop.api.post("/v1/push-services/resume", json={"origin": push.origin}).json() == {"lifted": 1}
    assert shop.api.post("/v1/push-services/resume", json={}).json() == {"lifted": 0}
    turn(shop, 100)
    turn_until_sent(shop, campaign, 1, turns=3)
    assert shop.states(campaign) == {"accepted": 12}


def test_another_site_goes_on(shop: Shop, push: ScriptedPush, db: Database) -> None:
    rejected_shop(shop, push)
    other = Shop.create(db, push)
    push.usual = Answer()
    other.customer("bob", "bob")
    campaign = other.start()
    work()
    assert other.states(campaign) == {"accepted": 1}
    assert other.api.get("/v1/push-services").json()["alerts"] == []
    assert other.api.post("/v1/push-services/resume", json={}).json() == {"lifted": 0}


def test_what_waits_for_a_key_ends_with_its_life(shop: Shop, push: ScriptedPush) -> None:
    shop.crowd(6)
    push.usual = Answer(401)
    campaign = shop.start(ttl=100)
    work()
    turn_until_sent(shop, campaign, 101, turns=3)
    assert shop.report(campaign)["reasons"] == {"too_late": 6}


def test_a_single_bad_subscription_stops_nobody(shop: Shop, push: ScriptedPush) -> None:
    shop.crowd(12)
    for name in ("c1", "c2", "c3", "c4"):
        push.script[name].extend([Answer(403)] * 20)
    for _ in range(3):
        campaign = shop.send()
    assert shop.states(campaign) == {"accepted": 8, "failed": 4}
    assert shop.report(campaign)["reasons"] == {"vapid_rejected": 4}
    assert shop.api.get("/v1/push-services").json()["alerts"] == []


def test_who_is_rejected_among_many() -> None:
    watch, key = KeyWatch(), (1, "https://push.example")
    for subscription in range(REJECTED - 1):
        for _ in range(LATEST):
            watch.note(key, subscription, rejected=True)
    assert not watch.is_rejected(key)
    for subscription in range(LATEST // 2):
        watch.note(key, subscription, rejected=False)
    for subscription in range(LATEST // 2 - 1):
        watch.note(key, subscription, rejected=True)
    assert not watch.is_rejected((2, key[1]))
    watch.note(key, 99, rejected=True)
    assert watch.is_rejected(key)
    watch.forget(key)
    assert not watch.is_rejected(key)


def test_alerts_are_told_while_redis_is_away(shop: Shop, push: ScriptedPush, monkeypatch: pytest.MonkeyPatch) -> None:
    rejected_shop(shop, push)

    def away(*_: object) -> None:
        raise redis.ConnectionError

    monkeypatch.setattr("push_server.delivery.push_services.client", away)
    answer = shop.api.get("/v1/push-services").json()
    assert (answer["live"], len(answer["alerts"])) == (False, 1)
    assert answer["data"][0]["oldest_unsent_seconds"] >= 0
