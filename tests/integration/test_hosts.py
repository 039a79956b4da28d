"""Several hosts, each with a home of its own and a clock that is off, against one PostgreSQL and one Valkey."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import rq
from psycopg.types.json import Jsonb

from push_server import clock, database_clock
from push_server.db import Database
from push_server.queue import redis_client
from push_server.scheduler import LOCK
from push_server.settings import settings
from tests.doubles.scripted_push import Answer, ScriptedPush
from tests.integration.sending import Shop, push_service
from tests.integration.test_supervisor import until

Start = Callable[[float, str], subprocess.Popen[bytes]]


@pytest.fixture
def push(db: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedPush]:
    yield from push_service(monkeypatch)


@pytest.fixture
def shop(db: Database, push: ScriptedPush) -> Shop:
    return Shop.create(db, push)


@pytest.fixture
def start(shop: Shop, tmp_path: Path) -> Iterator[Start]:
    """Starts a process on a host whose clock is so many seconds off."""
    started: list[subprocess.Popen[bytes]] = []

    def start(off: float, command: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "HOMING_HOME": str(tmp_path / f"host{off:+.0f}")}
        argv = [sys.executable, "-m", "tests.doubles.skewed_host", str(off), command]
        started.append(subprocess.Popen(argv, env=environment, stderr=subprocess.DEVNULL))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_hosts_with_clocks_ten_minutes_apart_send_each_message_once(
    shop: Shop, push: ScriptedPush, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its own clock the scheduler would find each lease of the slow host lapsed, and the fast host all too late."""
    monkeypatch.setenv("HOMING_CHUNK_SIZE", "10")
    settings.cache_clear()
    names = shop.crowd(40)
    for name in names[:5]:
        push.script[name].append(Answer(503))
    push.hold_after = 0
    for off in (-300, 300):
        start(off, "worker")
    start(300, "scheduler")
    until(lambda: rq.Worker.count(connection=redis_client()) == 2)
    until(lambda: leads(shop.db))  # all are up, so that what is held back is not held for as long as a start takes
    campaign = shop.start(ttl=120)
    until(lambda: shop.states(campaign) == {"queued": 20, "sending": 20})
    a_sweep_goes_by(shop)
    assert shop.states(campaign) == {"queued": 20, "sending": 20}
    push.release.set()
    until(lambda: shop.state(campaign) == "sent")
    assert shop.states(campaign) == {"accepted": 40}
    assert push.shown() == dict.fromkeys(names, 1)
    assert push.asked.total() == 45


def leads(db: Database) -> bool:
    """Whether some scheduler has the lock."""
    with db.connect() as conn:
        return bool(
            conn.execute(
                "select from pg_locks where locktype = 'advisory' and granted"
                " and database = (select oid from pg_database where datname = current_database())"
                " and (classid::bigint << 32 | objid::bigint) = %s",
                [LOCK],
            ).fetchall()
        )


def a_sweep_goes_by(shop: Shop) -> None:
    """Once a sweep has given a planner that seems to be dead another chance, it has looked at the leases as well."""
    with shop.db.session() as session:
        session.raw.execute(
            "insert into dispatch select (jsonb_populate_record(d, %s)).* from dispatch d",
            [Jsonb({"id": 10**6, "is_test": True, "state": "planning", "include": [], "due_at": "epoch"})],
        )

    def restarted() -> bool:
        with shop.db.session() as session:
            return not session.raw.execute("select from dispatch where due_at = 'epoch'").fetchall()

    until(restarted)


def test_time_is_the_databases_however_the_machines_is_set(
    db: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def off() -> timedelta:
        return abs(clock.now() - datetime.now(UTC))

    monkeypatch.setattr(clock, "_system", lambda: datetime.now(UTC) + timedelta(hours=1))
    clock.set_source(None)
    monkeypatch.setattr(database_clock, "EVERY", 0.02)
    done = database_clock.keep_time(db)
    assert off() < timedelta(seconds=30)
    clock.count_from(datetime.now(UTC) - timedelta(hours=1), clock.steady())  # as after a suspension
    until(lambda: off() < timedelta(seconds=30))
    done.set()
    until(lambda: all(thread.name != "clock" for thread in threading.enumerate()))
    told = [float(record.message.split()[4]) for record in caplog.records]
    assert told == [pytest.approx(3600, abs=30), pytest.approx(-3600, abs=30)]


def test_a_clock_that_was_replaced_is_left_alone(db: Database) -> None:
    past = datetime(2026, 1, 1, tzinfo=UTC)
    clock.set_source(lambda: past)
    database_clock.keep_time(db)
    assert clock.now() == past
