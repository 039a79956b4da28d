"""The scheduler: one leads, ticks are apart from each other, and a database that comes back is enough."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from push_server.db import Database
from push_server.scheduler import LOCK, Scheduler
from tests.integration.test_supervisor import until


@contextmanager
def running(scheduler: Scheduler) -> Iterator[Scheduler]:
    thread = threading.Thread(target=scheduler.run)
    thread.start()
    try:
        yield scheduler
    finally:
        scheduler.stop()
        thread.join(20)
        assert not thread.is_alive()


def test_one_leads_and_another_takes_over(db: Database) -> None:
    runs: list[str] = []
    first = Scheduler(db, [("tick", 0.01, lambda _db: runs.append("first"))])
    second = Scheduler(db, [("tick", 0.01, lambda _db: runs.append("second"))])
    with running(second), running(first):
        until(lambda: len(runs) >= 10)
        assert len(set(runs)) == 1
        leader, other = (first, "second") if runs[0] == "first" else (second, "first")
        leader.stop()
        until(lambda: runs[-1] == other)


def test_a_failing_tick_does_not_stop_the_others(db: Database, caplog: pytest.LogCaptureFixture) -> None:
    good: list[int] = []
    stuck = threading.Event()
    failures: list[int] = []

    def fail(_db: Database) -> None:
        failures.append(1)
        raise ValueError("broken tick")

    ticks = [
        ("bad", 0.01, fail),
        ("slow", 0.01, lambda _db: stuck.wait(10)),
        ("good", 0.01, lambda _db: good.append(1)),
    ]
    with running(Scheduler(db, ticks)):
        until(lambda: len(good) >= 5 and len(failures) >= 5)
        stuck.set()
    assert [record.message for record in caplog.records].count("bad failed and is tried again: broken tick") == 1


def test_leadership_comes_back_after_the_connection_is_lost(db: Database) -> None:
    runs: list[int] = []
    with running(Scheduler(db, [("tick", 0.01, lambda _db: runs.append(1))])), psycopg.connect(db.url) as connection:
        until(lambda: runs)
        ended = connection.execute(
            "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and granted"
            " and database = (select oid from pg_database where datname = current_database())"
            " and (classid::bigint << 32 | objid::bigint) = %s",
            [LOCK],
        ).fetchall()
        assert ended == [(True,)]
        scheduled = len(runs)
        until(lambda: len(runs) > scheduled + 50)
