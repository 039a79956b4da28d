"""A shop of its own on one machine, its campaigns under fire, and the verdict on each of them."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from push_server import clock
from push_server.db import database
from push_server.embedded.home import Home
from push_server.queue import redis_client
from push_server.sites.service import create_site
from push_server.stack import PROGRAM, Stack
from tests.doubles.http2_push import Http2Push
from tests.faults.clocked import Clock
from tests.faults.strikes import Strike, Target
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
"""Deliveries a job: so a campaign has three pages of thirty customers, and 27 jobs."""
LATENCY = 0.1
"""Seconds a push service takes to answer: so something is under way at any moment."""


class Siege:
    """`with siege(directory, seed) as one: one.round("redis", strikes.redis)`."""

    def __init__(self, target: Target, shop: Shop, faults: Faults) -> None:
        self.target, self.shop, self.faults = target, shop, faults
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
            self._judge(campaign, title)
        assert not self.faults.found, "\n".join(self.faults.found[:5])
        return f"{time.monotonic() - calm:.1f} s after the last blow"

    def _await_end(self, campaigns: list[str]) -> None:
        until, jumps, next_jump = time.monotonic() + PATIENCE, 0, time.monotonic() + 2
        while not all(self.shop.state(campaign) == "sent" for campaign in campaigns):
            if time.monotonic() > until:
                raise TimeoutError(f"not sent {PATIENCE:.0f} s after the last blow: {self._open(campaigns)}")
            if jumps < JUMPS and time.monotonic() > next_jump:
                self.target.clock.jump(LEASE_AND_MORE)
                jumps, next_jump = jumps + 1, time.monotonic() + 4
            for campaign in campaigns:
                self.shop.report(campaign)  # whose sums are checked
            time.sleep(0.1)

    def _open(self, campaigns: list[str]) -> str:
        states = "; ".join(f"{self.shop.state(campaign)} {self.shop.states(campaign)}" for campaign in campaigns)
        with database().connect() as conn:
            dispatches = conn.execute(
                "select id, state, planned_to, due_at, created_at from dispatch where state <> 'done'"
            ).fetchall()
            rows = conn.execute(
                "select dispatch_id, state, attempts, lapses, min(due_at), max(due_at), count(*) from delivery"
                " where state in ('queued', 'sending', 'retry') group by 1, 2, 3, 4"
            ).fetchall()
        return f"{states}; now {self.target.clock.now()}; dispatches {dispatches}; deliveries {rows}"

    def _judge(self, campaign: str, title: str) -> None:
        """Each browser showed it once: what came again had the same tag and topic, so it replaced itself."""
        states = self.shop.states(campaign)
        assert states == {"accepted": CROWD, "suppressed": 1}, (
            f"{title}: {states} {self.shop.report(campaign)['reasons']}"
        )
        shown = defaultdict(set)
        for one in list(self.target.push.arrived):
            if one.notification["title"] == title:
                shown[one.token].add((one.notification["tag"], one.headers["topic"]))
        assert set(shown) == set(self.target.push.browsers), f"{title}: not everybody got it"
        twice = [token for token, names in shown.items() if len(names) > 1]
        assert not twice, f"{title}: shown more than once by {twice}"
        assert not self.target.push.refused, self.target.push.refused[:3]


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
    with database().session() as session:
        site = create_site(session, "Besieged", ["https://shop.example"])
        site_id = session.site_id
    client = Client(target.stack.url, site, faults)
    everybody = {"name": "Everybody", "rule": {"version": 1, "where": {"all": []}}}
    segment = client.post("/v1/segments", json=everybody).json()["id"]
    shop = Shop(database(), target.push, site, site_id, client, segment)
    shop.crowd(CROWD)
    shop.customer("nobody's browser")
    return Siege(target, shop, faults)
