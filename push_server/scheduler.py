"""The scheduler process: repeats `wiring.ticks()` while it is the leader.

Any number of schedulers may run; the one that holds a PostgreSQL advisory lock leads, the others wait. Each tick has a
thread of its own, so that one that fails or takes long holds up no other.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
import redis
from sqlalchemy.exc import OperationalError

from push_server.db import Database
from push_server.wiring import Tick

log = logging.getLogger(__name__)

LOCK = 0x686F6D7363680001
CHECK_SECONDS = 1.0
# The server notices a leader whose machine vanished after about 15 seconds, and frees the lock.
_LEAD = f"""
select pg_try_advisory_xact_lock({LOCK}), set_config('tcp_keepalives_idle', '5', true),
       set_config('tcp_keepalives_interval', '5', true), set_config('tcp_keepalives_count', '2', true)
"""


class Scheduler:
    """Runs ticks on a database until stopped."""

    def __init__(self, database: Database, ticks: list[Tick]) -> None:
        self.database = database
        self.ticks = ticks
        self.leading = threading.Event()
        self.stopping = threading.Event()

    def run(self) -> None:
        """Lead, or wait to lead, until `stop`."""
        threads = [threading.Thread(target=self._repeat, args=tick, name=tick[0], daemon=True) for tick in self.ticks]
        for thread in threads:
            thread.start()
        while not self.stopping.is_set():
            try:
                self._campaign()
            except psycopg.Error as error:
                log.warning("the database does not answer, trying again: %s", str(error).strip())
            finally:
                self.leading.clear()
            self.stopping.wait(CHECK_SECONDS)
        deadline = time.monotonic() + 10
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def stop(self) -> None:
        """End after the ticks that run now."""
        self.stopping.set()

    def _campaign(self) -> None:
        """Hold the lock in a transaction of its own connection, for as long as that lives: a pooler in transaction mode
        gives each transaction another of the server's sessions. It sees no rows, so it keeps vacuum from nothing.
        """
        with psycopg.connect(self.database.url, connect_timeout=5, prepare_threshold=None) as connection:
            while not self.stopping.is_set():
                if not self.leading.is_set():
                    row = connection.execute(_LEAD).fetchone()
                    if row is not None and row[0]:
                        log.info("leading")
                        self.leading.set()
                    else:
                        connection.rollback()
                else:
                    connection.execute("select 1")
                self.stopping.wait(CHECK_SECONDS)

    def _repeat(self, name: str, seconds: float, function: Callable[[Database], Any]) -> None:
        failing: str | None = None
        while not self.stopping.wait(seconds):
            if not self.leading.is_set():
                continue
            try:
                function(self.database)
            except Exception as error:
                if failing != type(error).__name__:  # once, not at each turn while the database is away
                    away = isinstance(error, (OperationalError, psycopg.OperationalError, redis.ConnectionError))
                    log.error("%s failed and is tried again: %s", name, error, exc_info=not away)
                failing = type(error).__name__
            else:
                if failing is not None:
                    log.info("%s works again", name)
                failing = None
