"""The worker process: it finishes what it has in hand, outlives a restart of Redis, and runs nothing but our jobs."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from push_server import queue
from push_server.db import Database
from push_server.embedded.valkey import EmbeddedValkey
from push_server.servers import use
from push_server.supervisor import Child, Supervisor
from tests.integration.test_supervisor import until

PLAN = "push_server.delivery.jobs.plan"


@pytest.fixture
def worker(environment: dict[str, str], scratch: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A worker with a Valkey of its own, under a supervisor that restarts the latter."""
    valkey = EmbeddedValkey(scratch / f"valkey-{os.getpid()}")
    valkey.prepare()
    supervisor = Supervisor()
    supervisor.add(Child("valkey", valkey.command(), ready=valkey.ready))
    use({"HOMING_REDIS_URL": valkey.url})
    process = subprocess.Popen([sys.executable, "-P", "-m", "push_server", "worker"], env={**os.environ})
    process.supervisor = supervisor  # type: ignore[attr-defined]
    yield process
    process.kill()
    process.wait()
    supervisor.stop()


def waiting(db: Database) -> bool:
    """Whether some session waits for the lock that the test holds."""
    with psycopg.connect(db.url) as connection:
        row = connection.execute("select count(*) from pg_locks where relation = 'dispatch'::regclass and not granted")
        return row.fetchone() == (1,)


def test_it_finishes_the_job_in_hand_before_it_ends(worker: subprocess.Popen[bytes], db: Database) -> None:
    with psycopg.connect(db.url) as holder:
        holder.execute("lock table dispatch in access exclusive mode")
        queue.push(queue.PLAN, PLAN, {"dispatch_id": 1})
        until(lambda: waiting(db))
        queue.push(queue.PLAN, PLAN, {"dispatch_id": 2})
        worker.send_signal(signal.SIGTERM)
        worker.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            worker.wait(0.5)
        holder.rollback()
    assert worker.wait(120) == 0
    left = queue.rq_queue(queue.PLAN).get_jobs()
    assert [job.kwargs for job in left] == [{"dispatch_id": 2}]


def test_it_outlives_a_restart_of_redis_and_drops_jobs_that_are_not_ours(
    worker: subprocess.Popen[bytes], db: Database, tmp_path: Path
) -> None:
    queue.push(queue.PLAN, "os.mkdir", {"path": str(tmp_path / "made")})
    queue.push(queue.PLAN, PLAN, {"dispatch_id": 1})
    plan = queue.rq_queue(queue.PLAN)
    until(lambda: plan.is_empty())
    supervisor: Supervisor = worker.supervisor  # type: ignore[attr-defined]
    before = supervisor.pids()["valkey"]
    os.kill(before, signal.SIGKILL)
    until(lambda: supervisor.pids().get("valkey", before) != before)
    supervisor.await_ready("valkey")
    with psycopg.connect(db.url) as holder:
        holder.execute("lock table dispatch in access exclusive mode")
        queue.push(queue.PLAN, PLAN, {"dispatch_id": 2})
        until(lambda: waiting(db))
    assert worker.poll() is None
    assert not (tmp_path / "made").exists()


def test_a_redis_that_does_not_answer_holds_a_request_up_for_seconds(
    worker: subprocess.Popen[bytes], db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was to be enqueued is in the outbox then, and is sent once Redis goes on."""
    monkeypatch.setattr(queue, "ANSWER", 0.2)
    supervisor: Supervisor = worker.supervisor  # type: ignore[attr-defined]
    valkey = supervisor.pids()["valkey"]
    os.kill(valkey, signal.SIGSTOP)
    began = time.monotonic()
    with db.session() as session:
        queue.enqueue(session, queue.PLAN, PLAN, dispatch_id=1)
    assert time.monotonic() - began < 30
    os.kill(valkey, signal.SIGCONT)
    assert queue.relay(db, min_age_seconds=0) == 1
    until(lambda: queue.rq_queue(queue.PLAN).is_empty())
