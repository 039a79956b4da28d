"""Dying workers, slow workers and workers at odds: every message goes out, none is counted twice."""

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from push_server import clock, queue
from push_server.db import Database
from push_server.delivery.claim import LEASE, Chunk, claim, renew
from push_server.delivery.models import DeliveryState, Reason
from push_server.delivery.plan import CHUNKS_A_PAGE
from push_server.delivery.service import SEND_JOB
from push_server.delivery.settle import Settlement, write
from push_server.settings import settings
from tests.doubles.scripted_push import Answer, ScriptedPush
from tests.integration.sending import Shop, later, lose_redis, push_service, tick, work
from tests.integration.test_supervisor import until


@pytest.fixture
def push(db: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedPush]:
    yield from push_service(monkeypatch)


@pytest.fixture
def shop(db: Database, push: ScriptedPush) -> Shop:
    return Shop.create(db, push)


# The planner of the second page waits for who holds the lock, its rows written.
PAUSE = f"""
create function pause() returns trigger language plpgsql as $$
begin
    if (select count(*) from delivery) = {2 * CHUNKS_A_PAGE} then
        perform pg_advisory_xact_lock(4242);
    end if;
    return null;
end $$;
create trigger pause after insert on delivery for each statement execute function pause();
"""
PAUSED = "select count(*) from pg_locks where locktype = 'advisory' and objid = 4242 and not granted"


@pytest.fixture
def workers(shop: Shop) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two worker processes."""
    command = [sys.executable, "-m", "push_server", "worker"]
    started = [subprocess.Popen(command, env=dict(os.environ), stderr=subprocess.DEVNULL) for _ in range(2)]
    yield started
    for process in started:
        process.kill()
        process.wait()


def held_chunk(shop: Shop) -> tuple[Chunk, list[int]]:
    """A planned campaign's deliveries, claimed by a worker that then stands still."""
    work("plan")
    with shop.db.session() as session:
        ids = [row[0] for row in session.raw.execute("select id from delivery where state = 'queued' order by id")]
        chunk = claim(session, 1, ids)
    assert chunk is not None
    return chunk, ids


def results(chunk: Chunk, state: DeliveryState, reason: Reason | None = None) -> list[Settlement]:
    return [Settlement(row.id, row.attempts, state, reason, 201) for row in chunk.rows]


def test_a_worker_killed_in_the_middle_of_a_chunk(
    shop: Shop, push: ScriptedPush, workers: list[subprocess.Popen[bytes]]
) -> None:
    names = shop.crowd(40)
    push.hold_after = 15
    campaign = shop.start()
    assert push.waiting.acquire(timeout=120)
    for process in workers:
        process.send_signal(signal.SIGKILL)
        process.wait()
    push.release.set()
    assert shop.report(campaign)["audience"] == 40
    later(LEASE.total_seconds() + 1)
    shop.work_until(lambda: shop.state(campaign) == "sent")
    assert shop.states(campaign) == {"accepted": 40}
    shown = push.shown()
    assert set(shown) == set(names)
    for name, times in shown.items():
        tags = {one.notification["tag"] for one in push.arrived if one.token == name}
        assert len(tags) == 1, f"{name} would see {times} notifications"


def test_a_planner_killed_in_the_middle_of_a_page_loses_that_page_alone(
    shop: Shop, push: ScriptedPush, db: Database, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    names = shop.crowd(2 * CHUNKS_A_PAGE + 5)
    monkeypatch.setenv("HOMING_CHUNK_SIZE", "1")
    settings.cache_clear()
    with db.connect(autocommit=True) as conn:
        conn.execute(PAUSE)
        conn.execute("select pg_advisory_lock(4242)")
        campaign = shop.start()
        workers: list[subprocess.Popen[bytes]] = request.getfixturevalue("workers")
        until(lambda: conn.execute(PAUSED).fetchone() == (1,))
        for process in workers:
            process.kill()
            process.wait()
        conn.execute("select pg_terminate_backend(pid) from pg_locks where objid = 4242 and not granted")
        until(lambda: conn.execute(PAUSED).fetchone() == (0,))
    assert shop.report(campaign)["audience"] == CHUNKS_A_PAGE
    later(LEASE.total_seconds() + 1)
    shop.work_until(lambda: shop.state(campaign) == "sent")
    assert shop.states(campaign) == {"accepted": len(names)}
    assert set(push.shown()) == set(names)


def test_two_workers_with_the_same_jobs_send_each_once(
    shop: Shop, push: ScriptedPush, workers: list[subprocess.Popen[bytes]], db: Database
) -> None:
    names = shop.crowd(60)
    campaign = shop.start()
    deadline = time.monotonic() + 120
    while shop.report(campaign)["audience"] < 60:
        assert time.monotonic() < deadline
    with db.session() as session:
        ids = [row[0] for row in session.raw.execute("select id from delivery order by id")]
    for _ in range(4):
        for start in range(0, 60, 10):
            queue.push(queue.SEND, SEND_JOB, {"dispatch_id": 1, "ids": ids[start : start + 10]})
    while shop.states(campaign) != {"accepted": 60}:  # whose sums are checked at each look
        assert time.monotonic() < deadline, shop.states(campaign)
    while queue.depth(queue.SEND):
        assert time.monotonic() < deadline
    assert push.shown() == dict.fromkeys(names, 1)


def test_a_worker_that_stood_still_cannot_overwrite_what_came_after(shop: Shop) -> None:
    shop.crowd(3)
    campaign = shop.start()
    slow, ids = held_chunk(shop)
    later(31)
    tick(shop.db)
    with shop.db.session() as session:
        second = claim(session, 1, ids)
    assert second is not None
    write(shop.db, shop.site_id, results(slow, DeliveryState.FAILED, Reason.PUSH_SERVICE_ERROR))
    assert shop.states(campaign) == {"sending": 3}
    write(shop.db, shop.site_id, results(second, DeliveryState.ACCEPTED))
    write(shop.db, shop.site_id, results(slow, DeliveryState.FAILED, Reason.PUSH_SERVICE_ERROR))
    assert shop.states(campaign) == {"accepted": 3}


def test_a_late_result_counts_as_long_as_nobody_else_has_claimed(shop: Shop, push: ScriptedPush) -> None:
    shop.crowd(3)
    campaign = shop.start()
    chunk, _ = held_chunk(shop)
    later(31)
    tick(shop.db)
    assert shop.states(campaign) == {"queued": 3}
    write(shop.db, shop.site_id, results(chunk, DeliveryState.ACCEPTED))
    work()
    assert shop.states(campaign) == {"accepted": 3}
    assert push.asked == {}


def test_a_lease_that_is_renewed_holds(shop: Shop) -> None:
    shop.crowd(3)
    campaign = shop.start()
    chunk, ids = held_chunk(shop)
    later(20)
    with shop.db.session(site_id=shop.site_id) as session:
        assert [row.id for row in renew(session, chunk, chunk.rows).rows] == ids
    later(20)
    tick(shop.db)
    assert shop.states(campaign) == {"sending": 3}
    later(11)
    tick(shop.db)
    with shop.db.session() as session:
        assert claim(session, 1, ids[:1]) is not None
    with shop.db.session(site_id=shop.site_id) as session:
        assert [row.id for row in renew(session, chunk, chunk.rows).rows] == ids[1:]


def test_claims_may_be_more_than_their_column_counts(shop: Shop, push: ScriptedPush) -> None:
    shop.customer("ada", "ada")
    campaign = shop.start()
    work("plan")
    with shop.db.session() as session:
        session.raw.execute("update delivery set attempts = 32767")
    work()
    assert shop.states(campaign) == {"accepted": 1}


def test_a_clock_that_is_set_back_holds_up_nothing(shop: Shop, push: ScriptedPush) -> None:
    """A planner that died, deliveries whose worker died, others whose jobs are lost, and a retry."""
    names = shop.crowd(4)
    tick(shop.db)
    campaign = shop.start()
    work("plan")
    with shop.db.session() as session:
        ids = [row[0] for row in session.raw.execute("select id from delivery where state = 'queued' order by id")]
        claim(session, 1, ids[:1])
    lose_redis()
    queue.push(queue.SEND, SEND_JOB, {"dispatch_id": 1, "ids": ids[3:]})
    push.script.update({name: deque([Answer(429, retry_after=600)]) for name in names})
    work()
    push.script.clear()
    assert shop.states(campaign) == {"queued": 2, "sending": 1, "retry": 1}
    unplanned = shop.start()
    lose_redis()
    later(-3600)
    tick(shop.db)
    shop.work_until(lambda: shop.state(campaign) == shop.state(unplanned) == "sent")
    assert shop.states(campaign) == shop.states(unplanned) == {"accepted": 4}


def test_a_subscription_that_the_service_retires_is_ended_once(shop: Shop, push: ScriptedPush) -> None:
    shop.customer("ada", "ada")
    shop.start()
    chunk, _ = held_chunk(shop)
    [row] = chunk.rows
    gone = Settlement(row.id, row.attempts, DeliveryState.FAILED, Reason.GONE, 410, retire=row.subscription_id)
    write(shop.db, shop.site_id, [gone])
    ended = clock.now()
    later(5)
    write(shop.db, shop.site_id, [gone])
    with shop.db.session() as session:
        state, at = session.raw.execute("select state, ended_at from subscription").fetchone() or ("", None)
    assert state == "gone"
    assert at <= ended


def test_a_database_that_dies_right_after_the_commit_makes_no_error_of_it(
    shop: Shop, push: ScriptedPush, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.crowd(2)
    campaign = shop.draft()
    pushed = queue.push
    server, name = shop.db.url.rsplit("/", 1)

    def cut_off(*job: Any) -> None:
        pushed(*job)
        with psycopg.connect(f"{server}/postgres", autocommit=True) as conn:
            conn.execute(f"alter database {name} allow_connections false")
            conn.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name])

    with monkeypatch.context() as patched:
        patched.setattr(queue, "push", cut_off)
        answer = shop.api.post(f"/v1/campaigns/{campaign}/send")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as conn:
        conn.execute(f"alter database {name} allow_connections true")
    assert answer.status_code == 202, answer.text
    assert queue.relay(shop.db, min_age_seconds=0) == 1  # so the job comes twice
    shop.work_until(lambda: shop.state(campaign) == "sent")
    assert push.shown() == {"c0": 1, "c1": 1}
