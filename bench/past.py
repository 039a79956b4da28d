"""`python -m bench.past`: what a long past costs the present, and what deleting it costs.

The shop of `bench segments` gets more and more events of years before its own. Each time it is measured, in CPU time of
the one backend that does it, what ingest and rules of the present take. Then the past is rolled up. No table of the
years before is made first, so all of them lie in `event_older`, and they have no bodies.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
from rich.console import Console
from rich.table import Table

from bench.segments_data import NOW
from bench.segments_home import Kept, kept_shop
from bench.segments_rules import RULES
from push_server import clock
from push_server.audiences.rules import SiteRules, evaluation
from push_server.events import retention
from push_server.events.rollup import roll_up

ROUNDS = 9
EVERY_TIME = {"event": "Product Viewed", "count": {"gte": 3}}
_OLDER = """
    insert into event (kind_id, customer_id, ts, seq, value, product_id, category_id)
    select kind_id, customer_id, ts - make_interval(days => 731 * %(back)s), -seq - %(back)s * 1000000000::bigint,
           value, product_id, category_id from event where ts >= %(since)s
"""
_WHOSE = "select kind_id, customer_id from event where seq >= 0 order by seq % 65537, seq limit 500"
_COPY = "copy event (kind_id, customer_id, ts, seq, value, product_id, category_id) from stdin"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=0.1, help="1 is a million customers and 20 million events")
    parser.add_argument(
        "--times", type=int, nargs="*", default=[1, 5], help="how often the shop's events lie before it"
    )
    parser.add_argument("--dir", type=Path, required=True, help="where the shop is kept")
    parser.add_argument(
        "--delete", action=argparse.BooleanOptionalAction, default=True, help="roll the past up as well"
    )
    asked = parser.parse_args()
    console = Console()
    with kept_shop(asked.dir, asked.scale, console) as kept:
        clock.set_source(lambda: NOW)
        _take_away(kept)
        rows = {"none": _measured(kept)}
        for times, before in zip(asked.times, [0, *asked.times], strict=False):
            for back in range(before + 1, times + 1):
                _add(kept, back)
            rows[f"{_older_events(kept):,}"] = _measured(kept)
        console.print(_table(rows))
        if asked.delete:
            _delete(kept, console)
        _take_away(kept)


def _older_events(kept: Kept) -> int:
    with kept.database.connect() as conn:
        return int(conn.execute("select count(*) from event where seq < 0").fetchall()[0][0])


def _take_away(kept: Kept) -> None:
    with kept.database.connect(autocommit=True) as conn:
        conn.execute("delete from event where seq < 0")
        conn.execute("truncate event_rollup, event_horizon")
        conn.execute("vacuum analyze event")


def _add(kept: Kept, back: int) -> None:
    with kept.database.connect(autocommit=True) as conn:
        conn.execute(_OLDER, {"back": back, "since": NOW - timedelta(days=731)})
        conn.execute("vacuum analyze event")


def _measured(kept: Kept) -> dict[str, float]:
    """Milliseconds of CPU; of the COPY microseconds an event."""
    with kept.database.session(site_id=kept.site_id) as session:
        raw = session.raw
        raw.execute("set max_parallel_workers_per_gather = 0")
        whose = raw.execute(_WHOSE).fetchall()
        found = {"COPY of 500, µs an event": _cpu(raw, lambda: _copy(raw, whose)) * 2000}
        for name, node in (("R1", RULES[0].where), ("R4", RULES[3].where), ("all time, count >= 3", EVERY_TIME)):
            found[f"{name}, ms"] = _cpu(raw, _rule(session, node)) * 1000
        session.rollback()
    return found


def _rule(session: Any, node: dict[str, Any]) -> Callable[[], object]:
    rules = SiteRules(session)
    statement = rules.members(rules.parse({"version": 1, "where": node}), NOW)

    def run() -> None:
        with evaluation(session, 120):
            session.sql(statement).all()

    return run


def _copy(conn: psycopg.Connection[Any], whose: list[tuple[int, int]]) -> None:
    """Events of now, as a commit of ingest writes them, taken back at once."""
    with conn.transaction(force_rollback=True), conn.cursor() as cursor, cursor.copy(_COPY) as copy:
        for number, (kind, customer) in enumerate(whose):
            copy.write_row((kind, customer, NOW, 10**15 + number, None, None, None))


def _cpu(conn: psycopg.Connection[Any], run: Callable[[], object]) -> float:
    """Seconds of the backend's CPU, the median of some runs after one that warms."""
    path = Path(f"/proc/{conn.info.backend_pid}/schedstat")
    run()
    times = []
    for _ in range(ROUNDS):
        before = int(path.read_text().split()[0])
        run()
        times.append((int(path.read_text().split()[0]) - before) / 1e9)
    return statistics.median(times)


def _delete(kept: Kept, console: Console) -> None:
    """Roll one kind of event up, as far back as the shop's own events begin."""
    before = NOW - timedelta(days=731)
    with kept.database.connect(autocommit=True) as conn:
        kind = conn.execute("select id from term where what = 'event' and text = 'Product Viewed'").fetchall()[0][0]
        path = Path(f"/proc/{conn.info.backend_pid}/schedstat")
        used, began, gone, many = int(path.read_text().split()[0]), time.monotonic(), 0, retention.BATCH
        longest = 0.0
        while many == retention.BATCH:
            started = time.monotonic()
            with conn.transaction():
                many = roll_up(conn, "event_older", kept.site_id, kind, before, retention.BATCH)
            longest, gone = max(longest, time.monotonic() - started), gone + many
        spent, cpu = time.monotonic() - began, (int(path.read_text().split()[0]) - used) / 1e9
        rows, size = conn.execute(
            "select count(*), pg_total_relation_size('event_rollup') from event_rollup"
        ).fetchall()[0]
        conn.execute("insert into event_horizon (site_id, kind_id, before, announced_at) values (%s, %s, %s, %s)",
                     [kept.site_id, kind, before, before])  # fmt: skip
    console.print(
        f"{gone:,} events rolled up in {spent:.0f} s ({cpu / gone * 1e6:.0f} µs of CPU an event, the longest batch of"
        f" {retention.BATCH:,} {longest * 1000:.0f} ms) into {rows:,} rows, {size / max(rows, 1):.0f} bytes each"
    )
    console.print({f"with them, {name}": round(value, 2) for name, value in _measured(kept).items()})


def _table(rows: dict[str, dict[str, float]]) -> Table:
    table = Table(title="CPU of one backend, by how many older events there are; and how many times as much")
    table.add_column("")
    for name in rows:
        table.add_column(name, justify="right")
    first = rows["none"]
    for what, base in first.items():
        table.add_row(what, *(f"{row[what]:.2f} ({row[what] / base:.2f} x)" for row in rows.values()))
    return table


if __name__ == "__main__":
    main()
