"""From an event's 200 to the membership that it changes: the API and the scheduler as processes of their own, events
over HTTP at a steady rate, the hundred segments kept fresh.

In each request one event is a probe: of a customer who enters a segment by it and by nothing else. A thread looks for
his entry all the time; when it sees it the clock stops, which began when the request's answer was there. Other
customers leave a segment when time passes, at instants known beforehand; it is seen how late they go, and that none
goes early.
"""

import asyncio
import json
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from bench.segments_data import NOW
from bench.segments_events import A_REQUEST, SEED, Message, drawn
from bench.segments_home import Kept
from bench.segments_replay import cpu_seconds
from bench.segments_stored import clock_from
from push_server.audiences.service import create_segment
from push_server.embedded.process import free_port
from push_server.sites.models import Site

AT = NOW + timedelta(hours=4)
EVENTS, RATE = 60_000, 5_000
MOST_P99, MOST_LATE = 1.0, 1.0
"""Seconds: of an event's way to its membership, and of a turn by time behind its instant."""
PROBE, TIMED = "Product Added to Wishlist", "Promotion Clicked"
TURNING = 200
"""Customers who leave by time, at instants spread over the run."""
_WINDOW = timedelta(hours=1)
_LOOK = 0.02  # what is seen is later by up to that
_EARLY = 0.005
_PATIENCE = 30.0


def measure(kept: Kept, events: int = EVENTS, rate: int = RATE) -> dict[str, Any]:
    """The figures of one run. The segments are stored and fresh as of AT or before; two more are stored for it."""
    customers = [message["userId"] for message in drawn(kept, 4 * (events // A_REQUEST) + 4 * TURNING, SEED + 9)]
    customers = list(dict.fromkeys(customers))
    kept.use()
    with clock_from(AT):
        probes, timed = (_segment(kept, name) for name in (PROBE, TIMED))
    ahead = (AT - datetime.now(UTC)).total_seconds() + 60
    with _processes(kept, ahead) as (url, scheduler):
        run = _Run(kept, url, ahead, probes, timed)
        began = cpu_seconds(scheduler)
        asyncio.run(run.go(drawn(kept, events, SEED + 8), customers, rate))
        spent = cpu_seconds(scheduler) - began
    return run.figures(rate) | {"scheduler_cpu_share": round(spent / run.took, 2)}


def _segment(kept: Kept, event: str) -> int:
    rule = {"version": 1, "where": {"event": event, "within": "1h"}}
    with kept.database.session(site_id=kept.site_id) as session:
        segment = create_segment(session, f"Bench {event}", rule)
    assert segment.id is not None
    return segment.id


@contextmanager
def _processes(kept: Kept, ahead: float) -> Iterator[tuple[str, int]]:
    """The API and the scheduler; the API's URL and the scheduler's process id."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    shifted = [sys.executable, "-m", "bench.shifted", str(ahead)]
    commands = [[*shifted, "serve", "--port", str(port)], [*shifted, "scheduler"]]
    running = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for command in commands]
    try:
        _wait_until_both(url, kept, running)
        yield url, running[1].pid
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(30)


def _wait_until_both(url: str, kept: Kept, running: list[subprocess.Popen[bytes]]) -> None:
    """The API answers, and the scheduler has brought the segments up to its own time."""
    deadline = time.monotonic() + 120
    with kept.database.connect(autocommit=True) as conn:
        while time.monotonic() < deadline and all(process.poll() is None for process in running):
            with httpx.Client() as client:
                try:
                    answers = client.get(f"{url}/openapi.json").status_code == 200
                except httpx.TransportError:
                    answers = False
            ticked = conn.execute("select max(ticked_at) from site_refresh").fetchall()[0][0]
            if answers and ticked >= AT + timedelta(seconds=60):
                return
            time.sleep(0.2)
    raise RuntimeError("the API or the scheduler of the benchmark did not start")


@dataclass(slots=True)
class _Seen:
    """When what was first seen, by the customer's outside id, in seconds of the system's clock."""

    entries: dict[str, float] = field(default_factory=dict)
    exits: dict[str, float] = field(default_factory=dict)


class _Run:
    def __init__(self, kept: Kept, url: str, ahead: float, probes: int, timed: int) -> None:
        self.kept, self.url, self.ahead, self.probes, self.timed = kept, url, ahead, probes, timed
        self.answered: dict[str, float] = {}
        self.leaving: dict[str, float] = {}
        self.seen, self.took, self.failed = _Seen(), 0.0, 0
        self._stop, self._is_sent = threading.Event(), False
        with kept.database.session(site_id=kept.site_id) as session:
            key = session.get_one(Site, kept.site_id).public_key
        self.headers = {"Authorization": "Basic " + b64encode(f"{key}:".encode()).decode()}

    async def go(self, messages: list[Message], customers: list[str], rate: int) -> None:
        """Post all of it at the rate, and wait until everything expected was seen, or for long."""
        many = len(messages) // A_REQUEST
        watch = threading.Thread(target=self._watch)
        watch.start()
        limits = httpx.Limits(max_connections=16, max_keepalive_connections=16)
        async with httpx.AsyncClient(base_url=self.url, headers=self.headers, limits=limits, timeout=60) as client:
            await self._let_leave(client, customers[many : many + TURNING], many * A_REQUEST / rate)
            began, posts = time.monotonic(), []
            for number in range(many):
                await asyncio.sleep(max(0.0, began + number * A_REQUEST / rate - time.monotonic()))
                part = messages[number * A_REQUEST : (number + 1) * A_REQUEST]
                posts.append(asyncio.ensure_future(self._post(client, part, customers[number], number)))
            await asyncio.gather(*posts)
            self.took = time.monotonic() - began
        self._is_sent = True
        await asyncio.to_thread(watch.join, _PATIENCE)
        self._stop.set()

    async def _post(self, client: httpx.AsyncClient, part: list[Message], probe: str, number: int) -> None:
        event = {"type": "track", "event": PROBE, "userId": probe, "messageId": f"bench-probe-{number}"}
        answer = await client.post("/v1/batch", content=json.dumps({"batch": [*part[1:], event]}))
        if answer.status_code == 200:
            self.answered[probe] = time.time()
        else:
            self.failed += 1

    async def _let_leave(self, client: httpx.AsyncClient, customers: list[str], seconds: float) -> None:
        """Events of an hour ago, less the seconds until they are to leave the window."""
        start = datetime.now(UTC) + timedelta(seconds=self.ahead + 2)
        batch = []
        for number, customer in enumerate(customers):
            leaves = start + timedelta(seconds=number * seconds / len(customers))
            self.leaving[customer] = leaves.timestamp() - self.ahead
            event = {"type": "track", "event": TIMED, "userId": customer, "messageId": f"bench-timed-{number}"}
            batch.append(event | {"timestamp": (leaves - _WINDOW).isoformat()})
        answer = await client.post("/v1/batch", content=json.dumps({"batch": batch}))
        answer.raise_for_status()

    def _is_complete(self) -> bool:
        return self.answered.keys() <= self.seen.entries.keys() and self.leaving.keys() <= self.seen.exits.keys()

    def _watch(self) -> None:
        """Look for what is told of the two segments, again and again, until all of it was seen."""
        with self.kept.database.connect(autocommit=True) as conn:
            last = AT
            while not self._stop.wait(_LOOK) and not (self._is_sent and self._is_complete()):
                rows = conn.execute(_CHANGES, [[self.probes, self.timed], last]).fetchall()
                now = time.time()
                for at, segment_id, entered, customer in rows:
                    last = max(last, at)
                    if segment_id == self.probes and entered:
                        self.seen.entries.setdefault(customer, now)
                    elif segment_id == self.timed and not entered:
                        self.seen.exits.setdefault(customer, now)

    def figures(self, rate: int) -> dict[str, Any]:
        """What is reported; what never came counts as infinitely late."""
        never = float("inf")
        ways = sorted(max(0.0, self.seen.entries.get(who, never) - at) for who, at in self.answered.items())
        late = sorted(self.seen.exits.get(who, never) - at for who, at in self.leaving.items())
        p99, latest = _share(ways, 0.99), late[-1]
        is_early = late[0] < -_EARLY
        return {
            "events_per_second": {"asked": rate, "answered": round(len(self.answered) * A_REQUEST / self.took)},
            "event_to_membership_ms": {"p50": _ms(_share(ways, 0.5)), "p99": _ms(p99), "most": _ms(ways[-1])},
            "timed_turn_late_ms": {"p50": _ms(_share(late, 0.5)), "p99": _ms(_share(late, 0.99)), "most": _ms(latest)},
            "probes": len(ways),
            "failed": self.failed,
            "targets": {
                "event_to_membership_p99_s": {"is": round(p99, 3), "below": MOST_P99, "met": p99 < MOST_P99},
                "timed_turn_late_s": {"is": round(latest, 3), "at_most": MOST_LATE, "met": latest <= MOST_LATE},
            },
            "sound": ways[-1] < never and latest < never and not is_early and not self.failed,
        }


def _share(ascending: list[float], share: float) -> float:
    return ascending[min(int(len(ascending) * share), len(ascending) - 1)]


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


_CHANGES = (
    "select m.at, m.segment_id, m.entered, c.external_id from membership_change m join customer c"
    " on c.id = m.customer_id where m.segment_id = any(%s) and m.at > %s"
)
