"""The directory that a measured shop is kept in, so that it is built once: PostgreSQL's cluster and the other engines.

It is built anew when the code that draws and loads it has changed. `HOMING_*` are set for this process while it is
open, and the clock goes on from the shop's own instant.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rich.console import Console

from bench import segments_copy, segments_data, segments_load
from bench.segments_data import Shop, customers_at, draw
from push_server.db import Database, database
from push_server.embedded.postgres import EmbeddedPostgres
from push_server.embedded.process import command_line
from push_server.migrations import upgrade
from push_server.settings import settings
from push_server.sites.service import create_site

ZONE = "Europe/Budapest"
SECRET = "bench-bench-bench-bench-bench-bench!"
_BULK = {"wal_level": "minimal", "max_wal_senders": "0", "fsync": "off", "max_wal_size": "4GB"}


@dataclass(slots=True)
class Kept:
    """A shop that is open: its database, its site, and where other engines may keep theirs."""

    directory: Path
    scale: float
    database: Database
    postgres: EmbeddedPostgres
    site_id: int

    @property
    def customers(self) -> int:
        """How many there are."""
        return customers_at(self.scale)

    def use(self) -> None:
        """From here on `HOMING_*` are this shop's, for this process and those that it starts."""
        os.environ.update(_environment(self.directory, self.database.url))
        settings.cache_clear()
        database.cache_clear()

    def shop(self) -> Shop:
        """The drawn columns; drawn when they are first asked for."""
        return _drawn(self.scale)


@contextmanager
def kept_shop(directory: Path | None, scale: float, console: Console) -> Iterator[Kept]:
    """The shop of this scale, built below `directory` (HOMING_HOME/bench) unless it is there."""
    home = (directory or settings().home / "bench").absolute() / f"segments-{scale:g}"
    mark, state = home / "built.json", {"scale": scale, "code": _code()}
    postgres = EmbeddedPostgres(home / "postgres")
    if not mark.exists() or json.loads(mark.read_text()) != state:
        _build(home, scale, console)
        mark.write_text(json.dumps(state))
    with _running(postgres) as url:
        kept = Kept(home, scale, Database(url), postgres, site_id=0)
        kept.use()
        upgrade(kept.database)
        with kept.database.connect() as conn:
            kept.site_id = conn.execute("select id from site").fetchall()[0][0]
        try:
            yield kept
        finally:
            kept.database.engine.dispose()


def _build(home: Path, scale: float, console: Console) -> None:
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    for each in (home, *home.parents[:2]):
        each.chmod(each.stat().st_mode | 0o011)
    began = time.monotonic()
    console.print(f"Drawing the shop at scale {scale:g} …")
    shop = _drawn(scale)
    console.print(f"Loading {shop.customers:,} customers and {shop.events.ts.size:,} events into PostgreSQL …")
    with _running(EmbeddedPostgres(home / "postgres", extra=_BULK)) as url:
        os.environ.update(_environment(home, url))
        settings.cache_clear()
        built = Database(url)
        upgrade(built)
        with built.session() as session:
            create_site(session, "Bench", ["https://shop.example"], time_zone=ZONE)
            site_id = session.site_id
        with built.connect() as conn:
            segments_load.load(conn, site_id, shop)
        built.engine.dispose()
    console.print(f"Built in {time.monotonic() - began:.0f} s; kept in {home}.")


@contextmanager
def _running(postgres: EmbeddedPostgres) -> Iterator[str]:
    postgres.prepare()
    _end_forgotten(postgres)
    process = postgres.command().popen(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not postgres.ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("PostgreSQL of the benchmark did not start")
            time.sleep(0.05)
        yield postgres.url
    finally:
        process.send_signal(signal.SIGINT)  # fast shutdown: its sessions are ended
        process.wait(60)


def _end_forgotten(postgres: EmbeddedPostgres) -> None:
    """End the server of a run that was killed, which goes on without it."""
    lock = postgres.data / "postmaster.pid"
    if not lock.exists():
        return
    pid = int(lock.read_text().split()[0])
    if str(postgres.data) in command_line(pid):
        os.kill(pid, signal.SIGINT)
        deadline = time.monotonic() + 60
        while lock.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
    postgres.clear_stale_lock()


def _environment(home: Path, url: str) -> dict[str, str]:
    return {
        "HOMING_HOME": str(home),
        "HOMING_DATABASE_URL": url,
        "HOMING_REDIS_URL": f"unix://{home}/none",  # none is needed
        "HOMING_SECRET_KEY": SECRET,
        "HOMING_LOG_LEVEL": "WARNING",
    }


@cache
def _drawn(scale: float) -> Shop:
    return draw(scale)


def _code() -> str:
    sources = [Path(str(module.__file__)).read_bytes() for module in (segments_data, segments_copy, segments_load)]
    return hashlib.sha256(b"".join(sources) + sys.version.encode()).hexdigest()[:16]
