"""Real servers for the tests: one PostgreSQL and one Valkey a session, a fresh database a test."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from anyio.from_thread import start_blocking_portal
from starlette.testclient import TestClient

from push_server import clock
from push_server.db import Database, database
from push_server.embedded.postgres import EmbeddedPostgres
from push_server.embedded.process import Command
from push_server.embedded.valkey import EmbeddedValkey
from push_server.garbage import collect_rarely
from push_server.migrations import upgrade
from push_server.queue import redis_client
from push_server.settings import settings

FOR_TESTS = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "512MB", "max_wal_size": "512MB"}
ENOUGH = 6 << 30
SECRET = "test-secret-test-secret-test-secret!"


def _start(command: Command, ready: Callable[[], bool]) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        command.argv, user=command.user, env=command.env or None, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 30
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{command.argv[0]} did not start")
        time.sleep(0.02)
    return process


def _memory() -> Path | None:
    """Linux's directory in memory, where there is enough of it: a database's six hundred files are copied there in a
    tenth of the time. None: the usual place of temporary files."""
    path = Path("/dev/shm")
    is_ours = path.is_dir() and os.access(path, os.W_OK)
    return path if is_ours and shutil.disk_usage(path).free > ENOUGH else None


def pytest_collection_finish() -> None:
    """What there is now stays, so nobody needs to look for garbage in it: that took a quarter of the tests' time."""
    collect_rarely()


@pytest.fixture(scope="session", autouse=True)
def _portal() -> Iterator[None]:
    """One event loop for all test clients, which else start a thread for each request."""
    with start_blocking_portal() as portal:
        TestClient.portal = portal
        yield
        TestClient.portal = None


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """A directory for the session's servers, reachable by an ordinary user."""
    path = Path(tempfile.mkdtemp(prefix="homing-tests-", dir=_memory()))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(scratch: Path) -> Iterator[EmbeddedPostgres]:
    """A migrated cluster; without fsync, since nothing here must survive the machine."""
    server = EmbeddedPostgres(scratch / "postgres", extra=FOR_TESTS)
    server.prepare()
    process = _start(server.command(), server.ready)
    template = Database(server.url)
    upgrade(template)
    template.engine.dispose()
    yield server
    process.terminate()
    process.wait(20)


@pytest.fixture(scope="session")
def valkey(scratch: Path) -> Iterator[EmbeddedValkey]:
    server = EmbeddedValkey(scratch / "valkey")
    server.prepare()
    process = _start(server.command(), server.ready)
    yield server
    process.terminate()
    process.wait(20)


class Databases:
    """Databases copied from the migrated one; the next is made, and the last dropped, while a test runs."""

    def __init__(self, server: str) -> None:
        self.server = server
        self.thread = ThreadPoolExecutor(1)
        self.next = self.thread.submit(self._make)

    def take(self) -> str:
        """One of the caller's own, by name."""
        taken, self.next = self.next, self.thread.submit(self._make)
        return taken.result()

    def give_back(self, name: str) -> None:
        self.thread.submit(self._execute, f"drop database {name} with (force)")

    def _make(self) -> str:
        name = f"t_{uuid4().hex[:12]}"
        self._execute(f"create database {name} template homing strategy file_copy")
        return name

    def _execute(self, statement: str) -> None:
        with psycopg.connect(f"{self.server}/postgres", autocommit=True) as connection:
            connection.execute(statement)


@pytest.fixture(scope="session")
def databases(postgres: EmbeddedPostgres) -> Iterator[Databases]:
    databases = Databases(postgres.url.rsplit("/", 1)[0])
    yield databases
    databases.thread.shutdown(cancel_futures=True)


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """A database of this test's own."""
    name = databases.take()
    yield f"{databases.server}/{name}"
    databases.give_back(name)


@pytest.fixture
def environment(
    database_url: str, valkey: EmbeddedValkey, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, str]]:
    """HOMING_* for this process and for those it starts; caches of settings and connections begin anew."""
    values = {
        "HOMING_HOME": str(scratch / "home"),
        "HOMING_DATABASE_URL": database_url,
        "HOMING_REDIS_URL": valkey.url,
        "HOMING_SECRET_KEY": SECRET,
        "HOMING_PUSH_HOSTS": "",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    # however slow the machine is, members are found at once where a test does not say otherwise
    monkeypatch.setattr("push_server.audiences.service.AT_ONCE", 9.0)
    _forget()
    redis_client().flushall()
    yield {**os.environ}
    database().engine.dispose()
    redis_client().close()
    _forget()
    clock.set_source(None)


def _forget() -> None:
    for cached in (settings, database, redis_client):
        cached.cache_clear()


@pytest.fixture
def db(environment: dict[str, str]) -> Database:
    """The database of this test."""
    return database()
