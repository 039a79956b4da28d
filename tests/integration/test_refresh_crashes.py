"""The scheduler keeps segments fresh by itself, and whoever kills it loses nothing.

HOMING_SOAK_SECONDS makes the killing last longer.
"""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from push_server import clock
from push_server.audiences import refresh
from push_server.db import Database
from tests.integration.audiences.shop import ORDER, Api
from tests.integration.test_refresh_agrees import VIEW, check, unresting
from tests.integration.test_supervisor import until

__all__ = ["unresting"]

CLOCKS = timedelta(seconds=0.3)
"""The scheduler goes by the database's clock, which it knows the less well the slower the machine answers."""
LATE = 2.0  # seconds, as the contract says
SECONDS = float(os.environ.get("HOMING_SOAK_SECONDS", "10"))
# A new one, with connections of its own, as soon as the last one is dead; each tells its number first.
REFRESHERS = """
import os, time
from push_server import tables
from push_server.audiences.refresh import tick
from push_server.db import database
parent = os.getpid()
while True:
    if os.fork():
        os.wait()
        continue
    print(os.getpid(), flush=True)
    while os.getppid() == parent:
        tick(database())
        time.sleep(0.01)
    os._exit(0)
"""


@pytest.fixture
def api(db: Database) -> Iterator[Api]:
    made = Api(db)
    with made.client:
        yield made


@pytest.fixture
def scheduler(api: Api) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-m", "push_server", "scheduler"], stderr=subprocess.DEVNULL)
    yield
    process.kill()
    process.wait()


def stored(db: Database) -> set[int]:
    """Who is a member of anything, as the table has it."""
    with db.connect() as conn:
        return {row[0] for row in conn.execute("select customer_id from segment_member")}


def view(api: Api, customer: str, at: datetime) -> None:
    api.call("POST", "/v1/track", json={**VIEW, "userId": customer, "timestamp": at.isoformat(), "properties": {}})


def test_an_event_and_a_passing_minute_show_by_themselves(api: Api, db: Database, scheduler: None) -> None:
    api.segment("viewed within the minute", {**VIEW, "within": "1m"})
    view(api, "first", clock.now())
    until(lambda: stored(db))  # the scheduler leads by now
    found = []
    for seconds in (
        2.5,
        2.5,
        10,
        10,
        50,
    ):  # a slow machine gets several tries, and more time to see him before he leaves
        before, began = stored(db), time.monotonic()
        leaves_at = datetime.now(UTC) + timedelta(seconds=seconds)
        view(api, f"late {seconds}", leaves_at - timedelta(minutes=1))
        until(lambda before=before, at=leaves_at: stored(db) - before or datetime.now(UTC) > at)  # type: ignore[misc]
        came, late = time.monotonic() - began, stored(db) - before
        if not late:
            continue
        while (members := stored(db)) and datetime.now(UTC) < leaves_at - CLOCKS:
            assert late <= members, "never early"
            time.sleep(0.005)
        until(lambda late=late: not late & stored(db))  # type: ignore[misc]
        found.append((came, (datetime.now(UTC) - leaves_at).total_seconds()))
        if max(found[-1]) <= LATE:
            return
    raise AssertionError(f"he came and left late each time: {found}")


def test_killed_at_any_moment_it_ends_where_all_customers_do(api: Api, db: Database, unresting: None) -> None:
    rules: list[dict[str, Any]] = [
        {**VIEW, "count": {"gte": 3}, "within": "1d"},
        {**ORDER, "sum": {"of": "revenue", "gte": 30}},
        {"not": {**ORDER, "within": "1h"}},
        {**VIEW, "last": {"within": "1m"}},
        {"rank": {"by": {**ORDER, "sum": "revenue"}, "top_percent": 20}},
        {"rfm": {"recency": {"gte": 4}, "frequency": {"gte": 3}}},
    ]
    made = [api.segment(f"{number}", rule)["id"] for number, rule in enumerate(rules)]
    api.segment("nested", {"all": [{"segment": made[0]}, {"not": {"segment": made[1]}}]})
    chance, end = random.Random(3), time.monotonic() + SECONDS
    sender = threading.Thread(target=_send, args=(api, random.Random(4), end))
    sender.start()
    kills = 0
    with subprocess.Popen([sys.executable, "-c", REFRESHERS], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        while time.monotonic() < end:
            refresher = int(parent.stdout.readline())
            time.sleep(chance.uniform(0, 0.4))
            os.kill(refresher, signal.SIGKILL)
            kills += 1
        parent.kill()
    sender.join()
    assert kills > 5
    now = clock.now() + timedelta(seconds=1)
    clock.set_source(lambda: now)
    refresh.tick(db)
    check(db, api.site_id, now)


def _send(api: Api, chance: random.Random, until: float) -> None:
    number = 0
    while time.monotonic() < until:
        number += 1
        customer = f"u{chance.randrange(200)}"
        at = clock.now() - timedelta(seconds=chance.choice([0, 5, 57, 3598]))
        if chance.random() < 0.7:
            view(api, customer, at)
        else:
            api.order(customer, at, order_id=f"o{number}", revenue=chance.randrange(5, 25))
        time.sleep(0.01)
