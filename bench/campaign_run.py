"""One campaign from `send` to its last settled row, and what it took of every process."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg

from bench.installation import PATIENCE, Installation, Shop
from bench.processes import resident_mb
from push_server.db import database
from push_server.queue import redis_client

LOOK_EVERY = 0.1
"""Seconds between two looks at whether it is done, and at the workers' memory."""


@dataclass(frozen=True, slots=True)
class CampaignRun:
    """What it took. `seconds`: from the call to the last row that was settled; `planned`: to the last that was written.

    `cpu_us`: microseconds of CPU a message by process; `memory_mb`: of the largest worker, before and at most;
    `a_message`: bytes of WAL and of deliveries with their indexes, and commands to Redis.
    """

    messages: int
    accepted: int
    seconds: float
    planned: float
    cpu_us: dict[str, float]
    memory_mb: tuple[float, float]
    a_message: dict[str, float]

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds


def run_campaign(
    installation: Installation, shop: Shop, progress: Callable[[int], None] = lambda _: None
) -> CampaignRun:
    """Send a campaign to everybody of the shop. `progress` is told how many messages the push service has had of it."""
    campaign = installation.draft(shop)
    workers = installation.workers()
    memory = most = max(map(resident_mb, workers))
    planned = 0.0
    with database().connect(autocommit=True) as conn:
        received, before, size = installation.sink.counts()["received"], installation.cpu_us(), _size(conn)
        began = time.monotonic()
        installation.client(shop).post(f"/v1/campaigns/{campaign}/send")
        while (state := _state(conn)) != "done":
            if time.monotonic() - began > PATIENCE:
                raise RuntimeError(f"the campaign was not sent within {PATIENCE:.0f} seconds")
            if state != "planning" and not planned:
                planned = time.monotonic() - began
            time.sleep(LOOK_EVERY)
            most = max(most, *map(resident_mb, workers))
            progress(installation.sink.counts()["received"] - received)
        after, grown = installation.cpu_us(), _size(conn)
        rows, accepted, seconds = conn.execute(_OUTCOME).fetchall()[0]
    return CampaignRun(
        messages=rows,
        accepted=accepted,
        seconds=seconds,
        planned=round(planned or seconds, 2),
        cpu_us={name: round((after[name] - before[name]) / rows, 1) for name in after},
        memory_mb=(round(memory, 1), round(most, 1)),
        a_message={name: round((grown[name] - size[name]) / rows, 2) for name in grown},
    )


def _size(conn: psycopg.Connection[Any]) -> dict[str, int]:
    wal, deliveries = conn.execute(_SIZE).fetchall()[0]
    commands: Any = redis_client().info("stats")
    return {"wal_bytes": wal, "delivery_bytes": deliveries, "redis_commands": commands["total_commands_processed"]}


def _state(conn: psycopg.Connection[Any]) -> str:
    return str(conn.execute("select state from dispatch order by id desc limit 1").fetchall()[0][0])


_SIZE = "select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint, pg_total_relation_size('delivery')"
_OUTCOME = """
select count(*), count(*) filter (where d.state = 'accepted'),
       extract(epoch from max(d.updated_at) - max(p.created_at))::float
from dispatch p join delivery d on d.dispatch_id = p.id where p.id = (select max(id) from dispatch)
"""
