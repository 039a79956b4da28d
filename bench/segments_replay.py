"""60,000 events taken in by the product's own committer, with the hundred segments brought up to date after each batch.

What counts is the CPU time of the refresher, its PostgreSQL process included: events a second on one core. Taking the
events in is counted apart. At the end the members are compared with those that one statement a segment finds.
"""

import os
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bench.segments_data import NOW
from bench.segments_each import OneByOne, thresholds
from bench.segments_events import SEED, Intake, Message, drawn
from bench.segments_home import Kept
from bench.segments_stored import clock_at, clock_from, is_by_border, nodes_of
from push_server import clock
from push_server.audiences.step import step
from segments.needs import everything

AT = NOW + timedelta(hours=2)
EVENTS = 60_000
BATCHES = (1_000, 5_000)
LEAST_RATE = 5_000
"""Events a second on one core, for the best of the batches."""
CHECKED = 5_000
"""Customers whose memberships are compared at the end."""


@dataclass(slots=True)
class _Spent:
    """Seconds: of the CPU by this process and by the database's, and by the clock."""

    python: float = 0.0
    database: float = 0.0
    wall: float = 0.0
    slowest: float = 0.0


def measure(kept: Kept, events: int = EVENTS) -> dict[str, Any]:
    """Replays of so many events, one for each size of batches. The segments are stored, and fresh as of AT at most."""
    rows, differing, at = [], 0, AT
    for number, batch in enumerate(BATCHES):
        messages = drawn(kept, events, SEED + 1 + number)
        with clock_from(at):
            rows.append(_replay(kept, messages, batch))
            at = clock.now()
        with clock_at(at):
            differing += _differing(kept, messages, at)
    best = max(row["events_per_second_per_core"] for row in rows)
    return {
        "events": events,
        "rows": rows,
        "differing": differing,
        "targets": {
            "replay_events_per_second_per_core": {"is": best, "at_least": LEAST_RATE, "met": best >= LEAST_RATE},
        },
        "sound": not differing,
    }


def _replay(kept: Kept, messages: list[Message], batch: int) -> dict[str, Any]:
    spent, taking, customers = _Spent(), 0.0, 0
    with kept.database.connect(autocommit=True) as conn:
        intake = Intake(kept, conn)
        for start in range(0, len(messages), batch):
            part = messages[start : start + batch]
            customers += len({message["userId"] for message in part})
            began = time.perf_counter()
            intake.take(part)
            taking += time.perf_counter() - began
            _step(kept, spent)
        intake.close()
    many, steps = len(messages), -(-len(messages) // batch)
    return {
        "batch": batch,
        "customers_a_batch": round(customers / steps),
        "events_per_second_per_core": round(many / (spent.python + spent.database)),
        "cpu_us_an_event": {
            "python": round(spent.python / many * 1e6, 1),
            "postgresql": round(spent.database / many * 1e6, 1),
        },
        "events_per_second_by_the_clock": round(many / spent.wall),
        "step_ms": {"mean": round(spent.wall / steps * 1000, 1), "slowest": round(spent.slowest * 1000, 1)},
        "taken_in_per_second": round(many / taking),
    }


def _step(kept: Kept, spent: _Spent) -> None:
    began, python = time.perf_counter(), time.process_time()
    with kept.database.session(site_id=kept.site_id) as session:
        backend = session.raw.info.backend_pid
        database = cpu_seconds(backend)
        step(session)
    spent.database += cpu_seconds(backend) - database
    spent.python += time.process_time() - python
    took = time.perf_counter() - began
    spent.wall += took
    spent.slowest = max(spent.slowest, took)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, where /proc tells."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _differing(kept: Kept, messages: list[Message], at: datetime) -> int:
    """Memberships of some of the customers that a statement a segment finds otherwise, but for rules by borders."""
    _step(kept, _Spent())  # so that both are of one instant
    chosen = list(dict.fromkeys(message["userId"] for message in messages))[:CHECKED]
    with kept.database.session(site_id=kept.site_id) as session:
        nodes, segment = nodes_of(session)
        known = thresholds(session, everything(nodes.values(), segment), at)
        found = session.raw.execute(
            "select id from customer where site_id = %s and external_id = any(%s)", [kept.site_id, chosen]
        ).fetchall()
        customers = sorted(id for (id,) in found)
        theirs = OneByOne(session, nodes, known, at).members(session.raw, customers)
        stored = session.raw.execute(
            "select segment_id, customer_id from segment_member where customer_id = any(%s)", [customers]
        ).fetchall()
    both = set(stored) ^ {(id, customer) for id, members in theirs.items() for customer in members}
    return sum(not is_by_border(nodes[id], segment) for id, _customer in both if id in nodes)
