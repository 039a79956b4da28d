"""Push services in trouble: campaigns wait, nothing is burned, nothing is lost, and it can be seen."""

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
import rq

from push_server import clock
from push_server.db import Database
from push_server.delivery import send
from push_server.delivery.exchange import Report, exchange
from push_server.queue import redis_client
from push_server.settings import settings
from push_server.webpush.client import PushClient
from push_server.webpush.message import PushMessage, PushResponse
from tests.doubles.scripted_push import Answer, ScriptedPush
from tests.integration.sending import Shop, lose_redis, push_service, stand, tick, work
from tests.integration.test_supervisor import until


@pytest.fixture
def push(db: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedPush]:
    yield from push_service(monkeypatch)


@pytest.fixture
def shop(db: Database, push: ScriptedPush) -> Shop:
    stand()
    return Shop.create(db, push)


def turn(shop: Shop, seconds: float = 2) -> None:
    """What is due after so long goes its way."""
    stand(seconds)
    tick(shop.db)
    work("retry", "send")


def turn_until_sent(shop: Shop, campaign: str, seconds: float, turns: int = 30) -> None:
    """Turn by turn until all is done."""
    for _ in range(turns):
        turn(shop, seconds)
        tick(shop.db)
        if shop.state(campaign) == "sent":
            return
    raise AssertionError(shop.states(campaign))


def health(shop: Shop) -> dict[str, Any]:
    """The only push service."""
    answer = shop.api.get("/v1/push-services")
    assert answer.status_code == 200, answer.text
    [one] = answer.json()["data"]
    found: dict[str, Any] = one
    return found


def most_tries(db: Database) -> int:
    with db.session() as session:
        row = session.raw.execute("select max(retries) from delivery").fetchone()
    assert row is not None
    return int(row[0])


def test_a_push_service_that_is_down_is_left_alone_until_it_answers_a_probe(
    shop: Shop, push: ScriptedPush, db: Database
) -> None:
    names = shop.crowd(40)
    push.usual = Answer(503)
    campaign = shop.start()
    work()
    assert (health(shop)["breaker"], health(shop)["answers"]["retry"]) == ("open", 40)
    shop.crowd(20, "d")
    second = shop.start()
    for _ in range(6):
        turn(shop, 20)
        work()
    assert push.asked.total() - 40 <= 6  # one probe at a time, and rarer and rarer
    assert most_tries(db) == 1
    found = health(shop)
    assert found["oldest_unsent_seconds"] >= 120
    assert "5xx" in found["advice"]
    push.usual = Answer()
    turn_until_sent(shop, second, 40)
    turn_until_sent(shop, campaign, 5)
    assert shop.states(campaign) == {"accepted": 40}
    assert {push.shown()[name] for name in names} == {2}  # a campaign each
    assert health(shop)["breaker"] == "closed"
    assert health(shop)["advice"] is None


def test_a_message_that_waits_for_its_push_service_ends_with_its_life(shop: Shop, push: ScriptedPush) -> None:
    shop.crowd(30)
    push.usual = Answer(503)
    campaign = shop.start(ttl=60)
    work()
    turn_until_sent(shop, campaign, 20)
    assert shop.report(campaign)["reasons"] == {"too_late": 30}


def test_retry_after_of_a_503_is_kept_by_everything_for_that_service(shop: Shop, push: ScriptedPush) -> None:
    shop.customer("ada", "ada")
    push.script["ada"].append(Answer(503, retry_after=60))
    shop.start()
    work()
    shop.crowd(5)
    campaign = shop.start()
    work()
    turn(shop, 50)
    assert push.asked.total() == 1
    assert health(shop)["again_at"] is not None
    turn_until_sent(shop, campaign, 5)
    assert shop.states(campaign) == {"accepted": 6}


def test_a_storm_of_429_slows_down_and_loses_nothing_though_redis_is_emptied(
    shop: Shop, push: ScriptedPush, db: Database
) -> None:
    names = shop.crowd(60)
    push.usual = Answer(429)
    campaign = shop.start()
    work()
    assert health(shop)["rate_per_second"] == 30
    assert "429" in health(shop)["advice"]
    first = push.asked.total()
    turn(shop, 1)
    turn(shop, 1)
    assert push.asked.total() - first <= 50  # thirty a second, and the half after a second of refusals
    lose_redis()
    push.usual = Answer()
    turn_until_sent(shop, campaign, 10)
    assert shop.states(campaign) == {"accepted": 60}
    assert push.shown() == dict.fromkeys(names, 1)


def test_chromes_engagement_limit_paces_the_site_and_uses_up_no_tries(
    shop: Shop, push: ScriptedPush, monkeypatch: pytest.MonkeyPatch, db: Database
) -> None:
    monkeypatch.setattr("push_server.delivery.exchange.JUDGES_ENGAGEMENT", frozenset({push.origin}))
    names = shop.crowd(50)
    for name in names[10:]:
        push.script[name].extend([Answer(429)])
    campaign = shop.start()
    work()
    assert shop.states(campaign)["accepted"] == 10
    shop.crowd(20, "d")
    second = shop.start()
    work()
    found = health(shop)
    assert found["rate_per_second"] == 15
    assert found["engagement_limited_until"] is not None
    assert "900 a minute" in found["advice"]
    asked = push.asked.total()
    turn(shop, 1)
    assert push.asked.total() - asked <= 16
    turn_until_sent(shop, second, 3)
    assert shop.states(campaign) == {"accepted": 50}
    assert most_tries(db) <= 1


def test_a_push_service_that_hangs_costs_one_timeout(
    shop: Shop, push: ScriptedPush, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.crowd(30)
    campaign = shop.draft()
    posted: list[int] = []

    class Client(PushClient):
        """Counts what it is given: what the service has read by then hangs on the machine."""

        def send(self, messages: Iterable[PushMessage]) -> Iterator[PushResponse]:
            return super().send(posted.append(each.ref) or each for each in messages)

    with Client(timeout=0.5) as client:
        monkeypatch.setattr(send, "push_client", lambda: client)
        push.hold_after = 0
        shop.api.post(f"/v1/campaigns/{campaign}/send")
        work()
        assert len(posted) == 30
        turn(shop, 1)
        turn(shop, 1)
        assert len(posted) == 30
        push.hold_after = None
        push.release.set()
        turn_until_sent(shop, campaign, 10)
    assert shop.states(campaign) == {"accepted": 30}


def test_two_workers_keep_to_one_rate(shop: Shop, push: ScriptedPush, monkeypatch: pytest.MonkeyPatch) -> None:
    clock.set_source(None)  # the workers have their own
    monkeypatch.setenv("HOMING_CHUNK_SIZE", "10")
    settings.cache_clear()
    names = shop.crowd(120)
    command = [sys.executable, "-m", "push_server", "worker"]
    workers = [subprocess.Popen(command, env=dict(os.environ), stderr=subprocess.DEVNULL) for _ in range(2)]
    try:
        until(lambda: rq.Worker.count(connection=redis_client()) == 2)
        exchange(push.origin, shop.site_id, Report(posted=40, throttled=40), clock.now())  # from here the rate rises
        began = time.monotonic()
        shop.start()
        until(lambda: tick(shop.db) or len(push.arrived) == len(names))
        took = time.monotonic() - began
    finally:
        for process in workers:
            process.kill()
            process.wait()
    rate = health(shop)["rate_per_second"]
    assert len(names) <= rate * (1 + took) + 20, "a second's burst, the rate's, and a chunk in each one's hands"
    assert push.shown() == dict.fromkeys(names, 1)


def test_what_a_healthy_push_service_looks_like(shop: Shop, push: ScriptedPush) -> None:
    shop.crowd(3)
    push.script["c0"].append(Answer(410))
    shop.send()
    answer = shop.api.get("/v1/push-services").json()
    assert (answer["live"], answer["alerts"]) == (True, [])
    [found] = answer["data"]
    assert found["origin"] == push.origin
    assert (found["answers"]["accepted"], found["answers"]["gone"]) == (2, 1)
    assert 0 < found["latency_ms"]["p50"] <= found["latency_ms"]["p95"] <= 10_000
    assert (found["breaker"], found["rate_per_second"], found["lag_seconds"]) == ("closed", None, 0)
    assert found["oldest_unsent_seconds"] is None


def test_what_waits_is_seen_without_any_worker_or_redis(shop: Shop, push: ScriptedPush) -> None:
    shop.crowd(2)
    shop.start()
    work("plan")
    lose_redis()
    stand(50)
    found = health(shop)
    assert found["oldest_unsent_seconds"] >= 50
    assert 30 <= found["lag_seconds"] < 50
