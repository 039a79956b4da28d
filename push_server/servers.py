"""The servers that a process needs: those that the environment names, or embedded ones of a home."""

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from push_server import health
from push_server.db import database
from push_server.embedded.home import Home, Running
from push_server.embedded.postgres import EmbeddedPostgres
from push_server.embedded.valkey import EmbeddedValkey
from push_server.errors import StartupError
from push_server.migrations import upgrade
from push_server.queue import redis_client
from push_server.settings import Settings, settings
from push_server.supervisor import Child, Supervisor

STAGE = 0
"""Servers are the last to stop."""


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """`values` in the environment of this process and of those it starts; afterwards it is as it was."""
    before = dict(os.environ)
    try:
        use(values)
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        use({})


def use(values: Mapping[str, str]) -> Settings:
    """Set variables and read the settings anew; connections made under the former ones are let go."""
    os.environ.update(values)
    for cached in (settings, database, redis_client):
        cached.cache_clear()
    return settings()


def provide_secret_key(home: Home, *, create: bool) -> None:
    """HOMING_SECRET_KEY from the home when the environment has none; StartupError when neither has one."""
    if settings().secret_key is None:
        key = home.secret_key(create=create)
        if key is not None:
            use({"HOMING_SECRET_KEY": key})
    settings().require_secret_key()


def provide_database(home: Home, supervisor: Supervisor) -> None:
    """HOMING_DATABASE_URL, checked; when unset, of the home's own PostgreSQL, started here. The schema is made new."""
    if settings().database_url is None:
        server = EmbeddedPostgres(home.path("postgres"))
        server.prepare()
        supervisor.add(
            Child(
                "postgres",
                server.command(),
                stage=STAGE,
                ready=server.ready,
                stop_signal=signal.SIGINT,  # "fast": ends sessions, where SIGTERM would wait for them
                log=home.log("postgres"),
                before=server.clear_stale_lock,
                explain=server.diagnose,
            )
        )
        # A database of this machine has its clock: nothing to compare.
        use({"HOMING_DATABASE_URL": server.url, "HOMING_CLOCK": "machine"})
    health.check_database(settings().require_database_url(), schema=False)
    upgrade(database())
    health.check_secret_key(database())


def provide_redis(home: Home, supervisor: Supervisor) -> None:
    """HOMING_REDIS_URL, checked; when unset, of the home's own Valkey, started here."""
    if settings().redis_url is None:
        server = EmbeddedValkey(home.path("valkey"))
        server.prepare()
        supervisor.add(
            Child(
                "valkey",
                server.command(),
                stage=STAGE,
                ready=server.ready,
                log=home.log("valkey"),
                explain=server.diagnose,
            )
        )
        use({"HOMING_REDIS_URL": server.url})
    health.check_redis(settings().require_redis_url())


@contextmanager
def attached(home: Home) -> Iterator[None]:
    """A database for one command: the one that the environment names, else that of the servers running in the home,
    else the home's own PostgreSQL, started for as long as the block lasts.
    """
    with environment({}):
        if settings().database_url is not None:
            provide_secret_key(home, create=False)
            health.check_database(settings().require_database_url(), schema=True)
            health.check_secret_key(database())
            yield
        elif home.lock(wait=30, give_up=lambda running: running.ready):
            yield from _borrowed(home)
        else:
            running = home.running()
            if running is None or running.database_url is None:
                raise StartupError(
                    f"Another process is still starting in {home.directory}. Try again in a moment.", code="home_busy"
                )
            provide_secret_key(home, create=False)
            use({"HOMING_DATABASE_URL": running.database_url, "HOMING_REDIS_URL": running.redis_url or ""})
            yield


def _borrowed(home: Home) -> Iterator[None]:
    supervisor = Supervisor()
    try:
        home.end_leftovers()
        home.write_running(Running(os.getpid()))
        provide_secret_key(home, create=True)
        provide_database(home, supervisor)
        yield
    finally:
        database().engine.dispose()
        supervisor.stop()
        home.unlock()
