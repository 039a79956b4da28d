"""Campaigns that are paused or cancelled in the middle of being sent, while messages are with the push service."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest

from push_server import clock
from push_server.db import Database, SiteSession
from push_server.delivery import send
from push_server.delivery.claim import LEASE
from push_server.webpush.client import PushClient
from tests.doubles.scripted_push import Answer, ScriptedPush
from tests.integration.sending import NOTIFICATION, Shop, later, push_service, tick, work

IN_FLIGHT = 4
NEW = {**NOTIFICATION, "title": "Corrected"}


@pytest.fixture
def push(db: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedPush]:
    yield from push_service(monkeypatch)


@pytest.fixture
def shop(db: Database, push: ScriptedPush) -> Shop:
    return Shop.create(db, push)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadPoolExecutor]:
    """A worker that has four messages under way at most, and looks for a stop before each."""
    client = PushClient(in_flight=IN_FLIGHT, timeout=120)
    monkeypatch.setattr(send, "push_client", lambda: client)
    monkeypatch.setattr(send, "LOOK_EVERY", 0.0)
    with ThreadPoolExecutor(1) as pool:
        yield pool
    client.close()


def begin(shop: Shop, push: ScriptedPush, worker: ThreadPoolExecutor, campaign: str) -> "Future[int]":
    """The campaign's one chunk, in the worker's hands; returns when the push service holds an answer back."""
    push.hold_after = 5
    work("plan")
    ids = [int(row["id"]) for row in shop.deliveries(campaign)]
    sending = worker.submit(send.send, shop.db, 1, ids)
    assert push.waiting.acquire(timeout=120)
    return sending


def end(push: ScriptedPush, sending: "Future[int]") -> int:
    """Let the push service answer; how many messages it took until the worker put the chunk down."""
    push.release.set()
    sending.result(120)
    return len(push.arrived)


def test_pause_keeps_what_is_not_posted_and_resume_sends_it(
    shop: Shop, push: ScriptedPush, worker: ThreadPoolExecutor
) -> None:
    names = shop.crowd(25)
    campaign = shop.start()
    sending = begin(shop, push, worker, campaign)
    assert shop.do(campaign, "pause")["state"] == "paused"
    posted = end(push, sending)
    assert 5 <= posted <= 5 + IN_FLIGHT
    assert shop.states(campaign) == {"accepted": posted, "queued": 25 - posted}
    later(3600)
    for _ in range(2):
        tick(shop.db)
        work()
    assert (len(push.arrived), shop.state(campaign)) == (posted, "paused")
    resumed = shop.do(campaign, "resume")
    assert (resumed["state"], resumed["paused_at"]) == ("sending", None)
    shop.work_until(lambda: shop.state(campaign) == "sent")
    assert push.shown() == dict.fromkeys(names, 1)


def test_cancel_stops_the_rest_and_tells_what_was_sent(
    shop: Shop, push: ScriptedPush, worker: ThreadPoolExecutor
) -> None:
    shop.crowd(25)
    push.script["c0"].append(Answer(503))  # so one waits to be tried again
    campaign = shop.start()
    sending = begin(shop, push, worker, campaign)
    answer = shop.do(campaign, "cancel")
    assert (answer["state"], answer["deliveries"]["planned"]) == ("cancelled", True)
    assert sum(answer["deliveries"][name] for name in ("sent", "in_flight", "stopped")) == 25
    posted = end(push, sending)
    assert 5 <= posted <= 5 + IN_FLIGHT
    for _ in range(2):
        tick(shop.db)
        work()
        later(60)
    report = shop.report(campaign)
    assert report["states"] == {**dict.fromkeys(report["states"], 0), "accepted": posted, "suppressed": 25 - posted}
    assert report["reasons"] == {"cancelled": 25 - posted}
    assert len(push.arrived) == posted
    again = shop.do(campaign, "cancel")["deliveries"]
    assert again == {"sent": posted, "in_flight": 0, "stopped": 25 - posted, "planned": True}
    assert shop.state(campaign) == "cancelled"


def test_a_text_corrected_before_the_worker_saw_the_pause_is_the_new_one(
    shop: Shop, push: ScriptedPush, worker: ThreadPoolExecutor
) -> None:
    names = shop.crowd(25)
    campaign = shop.start()
    sending = begin(shop, push, worker, campaign)
    shop.do(campaign, "pause")
    changed = shop.api.patch(f"/v1/campaigns/{campaign}", json={"variants": [{"notification": NEW}], "urgency": "high"})
    assert changed.status_code == 200, changed.text
    shop.do(campaign, "resume")
    posted = end(push, sending)
    assert posted <= 5 + IN_FLIGHT
    shop.work_until(lambda: shop.state(campaign) == "sent")
    assert push.shown() == dict.fromkeys(names, 1)
    said = [(one.notification["title"], one.headers["urgency"]) for one in push.arrived]
    assert said == [("Sale", "normal")] * posted + [("Corrected", "high")] * (25 - posted)


@pytest.mark.parametrize("action", ["pause", "cancel"])
def test_workers_killed_while_it_is_stopped(shop: Shop, push: ScriptedPush, action: str) -> None:
    names = shop.crowd(20)
    push.hold_after = 5
    campaign = shop.start()
    command = [sys.executable, "-m", "push_server", "worker"]
    process = subprocess.Popen(command, env=dict(os.environ), stderr=subprocess.DEVNULL)
    try:
        assert push.waiting.acquire(timeout=120)
        shop.do(campaign, action)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    push.release.set()
    later(LEASE.total_seconds() + 1)
    tick(shop.db)
    if action == "cancel":
        assert set(shop.states(campaign)) <= {"accepted", "suppressed"}
        return
    work()
    shop.do(campaign, "resume")
    shop.work_until(lambda: shop.state(campaign) == "sent")
    assert set(push.shown()) == set(names)
    for name in names:
        assert len({one.notification["tag"] for one in push.arrived if one.token == name}) == 1


def test_a_chunk_that_takes_long_sees_what_has_changed_meanwhile(
    shop: Shop, push: ScriptedPush, worker: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of those who come last one buys and one unsubscribes."""
    monkeypatch.setattr(send, "RENEW_AFTER", 0.0)
    shop.crowd(25)
    campaign = shop.start(guards={"not_bought": True})
    sending = begin(shop, push, worker, campaign)
    by_turn = sorted(shop.deliveries(campaign), key=lambda row: int(row["id"]))
    *first, leaver, buyer = [row["customer"] for row in by_turn]
    later(1)
    line = {"product_id": "p1", "price": 9, "quantity": 1}
    order = {"order_id": "o1", "revenue": 9, "products": [line]}
    bought = {"event": "Order Completed", "userId": buyer, "properties": order, "timestamp": clock.rfc3339(clock.now())}
    assert shop.api.post("/v1/track", json=bought).status_code == 200
    with shop.db.session(site_id=shop.site_id) as session:
        session.raw.execute(
            "update subscription set state = 'unsubscribed' where customer_id ="
            " (select id from customer where external_id = %s)",
            [leaver],
        )
    later(1)
    posted = end(push, sending)
    assert posted == 23
    assert shop.report(campaign)["reasons"] == {"bought": 1, "unsubscribed": 1}
    assert push.shown() == dict.fromkeys(first, 1)


def away(monkeypatch: pytest.MonkeyPatch, times: int) -> list[int]:
    """The database is not there when a lease is to be renewed, so many times; how often it was asked for."""
    freshen, asked = send.freshen, list[int]()

    def or_fail(session: SiteSession) -> None:
        asked.append(1)
        if len(asked) <= times:
            raise psycopg.OperationalError("the database restarts")
        freshen(session)

    monkeypatch.setattr(send, "RENEW_AFTER", 0.0)
    monkeypatch.setattr(send, "freshen", or_fail)
    return asked


@pytest.mark.parametrize("policy", ["at-least-once", "at-most-once"])
def test_a_lease_that_lasts_outlives_a_short_absence_of_the_database(
    shop: Shop, push: ScriptedPush, worker: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    names = shop.crowd(25)
    campaign = shop.start(delivery=policy)
    asked = away(monkeypatch, 3)
    sending = begin(shop, push, worker, campaign)
    assert end(push, sending) == 25
    assert len(asked) > 3
    assert shop.states(campaign) == {"accepted": 25}
    assert push.shown() == dict.fromkeys(names, 1)


def test_what_was_not_handed_out_when_a_lease_is_lost_was_not_posted(
    shop: Shop, push: ScriptedPush, worker: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.crowd(25)
    campaign = shop.start(delivery="at-most-once")
    sending = begin(shop, push, worker, campaign)
    away(monkeypatch, 1)
    monkeypatch.setattr(send, "LEASE", timedelta(0))
    push.release.set()
    with pytest.raises(psycopg.OperationalError):
        sending.result(120)
    later(LEASE.total_seconds() + 1)
    shop.work_until(lambda: shop.state(campaign) == "sent")
    states = shop.states(campaign)
    assert states.keys() <= {"accepted", "failed"}
    assert states.get("failed", 0) <= IN_FLIGHT
    assert max(push.shown().values()) == 1
