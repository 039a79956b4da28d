"""The database's clock, by which every process goes, so that hosts whose clocks differ agree on leases and due times.

A process counts on from the database's time by a clock that nobody sets, and looks again every few seconds. So neither
a host with a wrong clock nor one whose clock is set while it works ends the lease of another, or sends too early.
"""

import logging
import threading
from typing import Final

import psycopg
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from push_server import clock
from push_server.db import Database

log = logging.getLogger(__name__)

EVERY: Final = 10.0
"""Seconds between two looks: as many as a lease has to spare (`delivery.claim`); crystals differ by 1 ms in them."""
NOISE: Final = 0.05
"""Seconds of difference that are left alone, besides what the round trip leaves open: to correct them, time jumps."""
WORTH_TELLING: Final = 1.0


def keep_time(database: Database) -> threading.Event:
    """Go by the database's clock, until the returned event is set. A clock that has been replaced is left alone."""
    done = threading.Event()
    if clock.is_systems():
        _look(database)
        threading.Thread(target=_keep, args=(database, done), name="clock", daemon=True).start()
    return done


def _keep(database: Database, done: threading.Event) -> None:
    while not done.wait(EVERY):
        _look(database)


def _look(database: Database) -> None:
    """Compare, and set the clock where it differs. While the database is away, time is counted on."""
    try:
        with database.engine.connect() as connection:
            before = clock.steady()
            instant = connection.execute(text("select clock_timestamp()")).scalar_one()
            after = clock.steady()
    except (SQLAlchemyError, psycopg.Error):
        return  # whoever needs it for his work says so
    middle = (before + after) / 2
    now, at = clock.now(), clock.steady()
    ahead = (now - instant).total_seconds() - (at - middle)
    if clock.is_systems() or abs(ahead) > NOISE + (after - before) / 2:
        clock.count_from(instant, middle)
    if abs(ahead) > WORTH_TELLING:
        log.warning("the clock here was %+.1f s off the database's, which is the one that counts", ahead)
