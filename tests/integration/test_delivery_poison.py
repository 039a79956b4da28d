"""A delivery that kills whoever prepares it: those that came with it go out, and it ends alone."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from push_server.db import Database
from push_server.delivery.claim import LEASE
from push_server.delivery.service import chunk_size
from push_server.delivery.sweep import MAX_LAPSES
from push_server.settings import settings
from tests.doubles.scripted_push import ScriptedPush
from tests.integration.sending import Shop, later, push_service, tick, work

# A worker that works the queues off; the one row that it cannot survive is planted in what prepares messages.
_WORKER = """
import os
from push_server import tables
from push_server.delivery import send
from tests.integration.sending import work

def prepare(row, *rest, whole=send.prepare):
    return os._exit(9) if row.endpoint.endswith("/poison") else whole(row, *rest)

send.prepare = prepare
work("retry", "send")
"""


@pytest.fixture
def push(db: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedPush]:
    yield from push_service(monkeypatch)


@pytest.fixture
def shop(db: Database, push: ScriptedPush) -> Shop:
    return Shop.create(db, push)


def test_chunks_are_split_until_the_row_that_kills_is_alone() -> None:
    assert [chunk_size(lapses) for lapses in range(MAX_LAPSES)] == [2000, 2000, 31, 1, 1]


def test_a_row_that_kills_its_worker_takes_none_with_it(
    shop: Shop, push: ScriptedPush, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOMING_CHUNK_SIZE", "40")
    settings.cache_clear()
    names = shop.crowd(20)
    shop.customer("poison", "poison")
    names += shop.crowd(20, "d")
    campaign = shop.start()
    work("plan")
    deaths = 0
    for _ in range(12):
        ended = subprocess.run([sys.executable, "-c", _WORKER], env=dict(os.environ), timeout=60, check=False)
        deaths += ended.returncode == 9
        later(LEASE.total_seconds() + 1)
        tick(shop.db)
        if shop.state(campaign) == "sent":
            break
    assert deaths == MAX_LAPSES
    assert shop.states(campaign) == {"accepted": 40, "failed": 1}
    [lost] = shop.deliveries(campaign, "?state=failed")
    assert (lost["customer"], lost["reason"]) == ("poison", "push_service_error")
    shown = push.shown()
    assert set(shown) == set(names)
    for name in names:  # what had been posted when the worker died comes again as the same notification
        assert len({one.notification["tag"] for one in push.arrived if one.token == name}) == 1
