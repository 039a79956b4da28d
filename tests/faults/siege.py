"""A shop of its own on one machine, its campaigns under fire, and the verdict on each of them."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from push_server import clock
from push_server.db import database
from push_server.embedded.home import Home
from push_server.queue import redis_client
from push_server.stack import PROGRAM, Stack
from tests.doubles.http2_push import Http2Push
from tests.faults.clocked import Clock
from tests.faults.strikes import Strike, Target
from tests.faults.verdict import judge, still_open
from tests.integration.sending import NOTIFICATION, Shop
from tests.soak.calls import Client, Faults

CROWD = 80
CAMPAIGNS, APART, SECONDS = 3, 0.8, 1.5
"""So many begin in a round, so many seconds one after the other, and then the strike goes on for so long."""
PATIENCE = 60.0
"""Seconds after the last blow in which all must have gone out by itself."""
LEASE_AND_MORE, JUMPS = 31.0, 3
"""Who died keeps his deliveries for a lease of 30 s, which is not waited for: the clock goes on by so much, so often at
most. A delivery that has lost five leases is given up, and the strikes take some."""
CHUNK = 3
"""Deliveries a job: so a campaign has six pages of its plan, and 27 jobs."""
LATENCY = 0.1
"""Seconds a push service takes to answer: so something is under way at any moment."""


class Siege:
    """`with siege(directory, seed) as one: one.round("redis", strikes.redis)`."""

    def __init__(self, target: Target, shop: Shop, crowd: list[str], faults: Faults) -> None:
        self.target, self.shop, self.crowd, self.faults = target, shop, crowd, faults
        self._number = 0

    def round(self, name: str, strike: Strike, campaigns: int = CAMPAIGNS) -> str:
        """Campaigns under one strike; AssertionError or TimeoutError where one did not end right. What it took."""
        began = time.monotonic()
        titles: dict[str, str] = {}
        blows = threading.Thread(target=strike, args=(self.target, began + campaigns * APART + SECONDS))
        blows.start()
        for _ in range(campaigns):
            self._number += 1
            title = f"{name} {self._number}"
            titles[self.shop.start({**NOTIFICATION, "title": title})] = title
            time.sleep(APART)
        blows.join()
        calm = time.monotonic()
        self._await_end(list(titles))
        for campaign, title in titles.items():
            judge(self.shop, campaign, title, self.crowd)
        assert not self.faults.found, "\n".join(self.faults.found[:5])
        return f"{time.monotonic() - calm:.1f} s after the last blow"

    def _await_end(self, campaigns: list[str]) -> None:
        until, jumps, next_jump = time.monotonic() + PATIENCE, 0, time.monotonic() + 2
        while not all(self.shop.state(campaign) == "sent" for campaign in campaigns):
            if time.monotonic() > until:
                raise TimeoutError(f"not sent {PATIENCE:.0f} s after the last blow: {still_open(self.shop, campaigns)}")
            if jumps < JUMPS and time.monotonic() > next_jump:
                self.target.clock.jump(LEASE_AND_MORE)
                jumps, next_jump = jumps + 1, time.monotonic() + 4
            for campaign in campaigns:
                self.shop.report(campaign)  # whose sums are checked
            time.sleep(0.1)


@contextmanager
def siege(directory: Path, seed: int) -> Iterator[Siege]:
    """A stack in this directory, with a crowd that has subscribed."""
    its_clock = Clock.create(directory / "clock")
    clock.set_source(its_clock.now)
    with Http2Push(directory, seed) as push:
        push.latency = LATENCY
        variables = {
            "HOMING_PUSH_HOSTS": push.origin,
            "HOMING_CHUNK_SIZE": str(CHUNK),
            "SSL_CERT_FILE": str(push.ca_file),
        }
        program = [PROGRAM[0], "-m", "tests.faults.clocked", str(directory / "clock")]
        stack = Stack(Home(directory / "home"), port=0, variables=variables, quiet=True, program=program)
        with stack:
            try:
                yield _opened(Target(stack, its_clock, push, Random(seed)))
            finally:
                database().engine.dispose()
                redis_client().close()
                clock.set_source(None)


def _opened(target: Target) -> Siege:
    faults = Faults()
    shop = Shop.create(database(), target.push, lambda site: Client(target.stack.url, site, faults))
    return Siege(target, shop, shop.crowd(CROWD), faults)
