"""The hundred segments stored in the measured shop, and the clock that goes on from the shop's own instant.

What a run adds (segments, members, events later than the shop's end) is taken away before the next one, however that
ended.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import psycopg
from sqlmodel import select

from bench.segments_data import END
from bench.segments_home import Kept
from bench.segments_hundred import hundred, nested
from push_server import clock
from push_server.audiences.models import Segment
from push_server.audiences.rules import SiteRules
from push_server.audiences.service import create_segment
from push_server.db import SiteSession
from push_server.wiring import ticks
from segments.core import Node, Rank, Rfm
from segments.needs import everything

PATIENCE = 900.0
"""Seconds until all hundred must be ready."""


@contextmanager
def clock_from(at: datetime) -> Iterator[None]:
    """Time goes on from there, as fast as it does."""
    began = time.monotonic()
    clock.set_source(lambda: at + timedelta(seconds=time.monotonic() - began))
    try:
        yield
    finally:
        clock.set_source(None)


@contextmanager
def clock_at(at: datetime) -> Iterator[None]:
    """Time stands still."""
    clock.set_source(lambda: at)
    try:
        yield
    finally:
        clock.set_source(None)


def nodes_of(session: SiteSession) -> tuple[dict[int, Node], Callable[[str], Node]]:
    """The stored rules in core nodes, by segment; and those that rules name, by outside id."""
    rules = SiteRules(session)
    found = {row.id: rules.node(str(row.public_id)) for row in session.exec(select(Segment)) if row.id is not None}
    return found, rules.node


def is_by_border(node: Node, segment: Callable[[str], Node]) -> bool:
    """Whether a rule, or one that it names, is told by a border: the product keeps those, and they may rest."""
    return any(isinstance(leaf, Rank | Rfm) for leaf in everything([node], segment))


def store_hundred(kept: Kept) -> float:
    """Store the segments anew, as the API does, and find their members; how many seconds that took."""
    kept.use()
    clean(kept)
    began = time.perf_counter()
    stored = [_stored(kept, number, where) for number, where in enumerate(hundred(), 1)]
    outside = [str(segment.public_id) for segment in stored]
    for number, where in enumerate(nested(outside), len(stored) + 1):
        _stored(kept, number, where)
    deadline = time.monotonic() + PATIENCE
    with kept.database.connect(autocommit=True) as conn:
        is_waiting = True  # for the instants and worths that the first step begins to store
        while is_waiting:
            if time.monotonic() > deadline:
                raise RuntimeError("the segments of the benchmark do not become ready")
            for name, _seconds, tick in ticks():
                if name.startswith("segments"):
                    tick(kept.database)
            is_waiting = conn.execute(_WAITING).fetchall()[0][0]
        took = time.perf_counter() - began
        conn.execute("vacuum (analyze) segment_member, membership_change, segment, customer_turn, customer_worth")
    return took


_WAITING = (
    "select exists (select 1 from segment where state <> 'ready')"
    " or exists (select 1 from timed_leaf where filled_to is not null)"
    " or exists (select 1 from worth_measure where filled_to is not null)"
)


def _stored(kept: Kept, number: int, where: dict[str, Any]) -> Segment:
    with kept.database.session(site_id=kept.site_id) as session:
        return create_segment(session, f"Bench {number}", {"version": 1, "where": where})


def clean(kept: Kept) -> None:
    """The shop as it was built: no segments, and nothing later than its end."""
    with kept.database.connect() as conn:
        conn.execute(
            "truncate segment, segment_member, membership_change, change_note, customer_due, site_refresh,"
            " segment_border, timed_leaf, customer_turn, worth_measure, customer_worth, worth_place cascade"
        )
        take_back(conn)


def take_back(conn: psycopg.Connection[Any]) -> None:
    """Delete the events and orders that a replay added."""
    late = [END]
    seqs = "select seq from event where ts > %s"
    conn.execute(f"delete from event_body where seq in ({seqs})", late)
    for table in ("order_line", "order_value", "orders", "event"):
        conn.execute(f"delete from {table} where ts > %s", late)
