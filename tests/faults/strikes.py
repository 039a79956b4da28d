"""What is done to a shop while it sends: each strike goes on until an instant of `time.monotonic`."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import psycopg

from push_server import queue
from push_server.db import database
from push_server.stack import Stack
from tests.doubles.http2_push import Http2Push
from tests.faults.clocked import Clock


@dataclass
class Target:
    """A shop's machine, its clock and its push service."""

    stack: Stack
    clock: Clock
    push: Http2Push
    random: Random

    def signal(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """To one process, if it runs at the moment."""
        pid = self.stack.supervisor.pids().get(name)
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, number)


Strike = Callable[[Target, float], None]


def nothing(target: Target, until: float) -> None:
    """For comparison."""


def processes(target: Target, until: float) -> None:
    """kill -9 of workers, the scheduler and the API."""
    _strikes(
        target, until, [lambda name=name: target.signal(name) for name in ("worker-1", "worker-2", "scheduler", "api")]
    )


def postgres(target: Target, until: float) -> None:
    """kill -9 of PostgreSQL or of one of its backends, which makes it start anew, and a restart as operators do it."""
    strikes = [
        lambda: target.signal("postgres"),
        lambda: _kill_a_backend(target),
        lambda: _restart_postgres(target),
    ]
    _strikes(target, until, strikes, every=1.5)


def redis(target: Target, until: float) -> None:
    """kill -9 of Valkey, a restart, a stand-still, and all it holds forgotten."""
    strikes = [
        lambda: target.signal("valkey"),
        lambda: target.signal("valkey", signal.SIGTERM),
        lambda: _freeze(target, "valkey", 2),
        _forget,
        _forget,
    ]
    _strikes(target, until, strikes, every=0.7)


def push_service(target: Target, until: float) -> None:
    """Every second message meets a fault, and two hang."""
    target.push.hangs, target.push.storm = 2, 0.5
    _wait(until)
    target.push.storm = 0.0


def clock_jumps(target: Target, until: float) -> None:
    """The clock jumps, an hour forward and back, and by less than a lease; workers die, and it ends an hour back."""
    jumps = [lambda seconds=seconds: target.clock.jump(seconds) for seconds in (-3600, 3600, 25, -25)]
    deaths = [lambda name=name: target.signal(name) for name in ("worker-1", "worker-2")]
    _strikes(target, until, [*jumps, *deaths])
    for strike in deaths:
        strike()
    target.clock.jump(-3600)


def everything(target: Target, until: float) -> None:
    """All of it, by turns."""
    target.push.storm = 0.2
    _strikes(
        target,
        until,
        [
            *(lambda name=name: target.signal(name) for name in ("worker-1", "worker-2", "scheduler", "postgres")),
            lambda: target.signal("valkey"),
            _forget,
            lambda: target.clock.jump(31),
            lambda: target.clock.jump(-31),
        ],
        every=0.7,
    )
    target.push.storm = 0.0


def _strikes(target: Target, until: float, strikes: Sequence[Callable[[], None]], every: float = 0.5) -> None:
    """One of them at random moments."""
    while time.monotonic() < until:
        time.sleep(min(target.random.expovariate(1 / every), 2 * every))
        target.random.choice(strikes)()


def _wait(until: float) -> None:
    time.sleep(max(0.0, until - time.monotonic()))


def _freeze(target: Target, name: str, seconds: float) -> None:
    target.signal(name, signal.SIGSTOP)
    time.sleep(seconds)
    target.signal(name, signal.SIGCONT)


def _forget() -> None:
    with suppress(queue.redis.RedisError):
        queue.redis_client().flushall()


def _restart_postgres(target: Target) -> None:
    """A fast shutdown, once it takes connections: PostgreSQL 18 hangs in one that is asked for amid its recovery."""
    with suppress(psycopg.OperationalError):
        database().connect().close()
        target.signal("postgres", signal.SIGINT)


def _kill_a_backend(target: Target) -> None:
    pid = target.stack.supervisor.pids().get("postgres")
    with suppress(OSError):
        backends = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if backends:
            os.kill(int(target.random.choice(backends)), signal.SIGKILL)


ALL: dict[str, Strike] = {
    "processes": processes,
    "postgres": postgres,
    "redis": redis,
    "push service": push_service,
    "clock": clock_jumps,
    "everything": everything,
}
