"""Ten rules over a million customers and twenty million events, beside DuckDB and ClickHouse.

Homing's time is that of the whole estimate as `POST /v1/segments/estimate` makes it: reading the rule, compiling it,
counting members and those who can be reached, and customers without a value. Of the others it is the statement alone.
All take turns, figures are medians, and all must find the same customers.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from sqlalchemy import BigInteger, cast, func, select

from bench.segments_data import NOW
from bench.segments_engines import Found, engines
from bench.segments_home import Kept
from bench.segments_reference import REFERENCE
from bench.segments_rules import RULES, Ruled
from push_server.audiences.estimate import estimate
from push_server.audiences.rules import SiteRules, evaluation

OURS, BY_HAND, USUAL = "homing", "SQL by hand", "chDB by customer, time"
TABLE_MS = {"R1": 61, "R2": 161, "R3": 137, "R4": 52, "R5": 9, "R6": 195, "R7": 7, "R8": 24, "R9": 347, "R10": 486}
"""What SQL by hand took on PostgreSQL where the project's targets were set."""
MOST_MS, MOST_TIMES, LEAST_AHEAD = 500, 1.2, 7
REFERENCE_RULES = ("R1", "R2", "R4", "R9")
"""Those whose statement by hand is that of the table, so that their times tell how this machine compares."""


@dataclass(slots=True)
class Contender:
    """`find` gives the customers of a rule, by which it is judged; `run` is what is timed."""

    name: str
    find: Callable[[Ruled], Found]
    run: Callable[[Ruled], Any]
    ms: dict[str, list[float]] = field(default_factory=dict)

    def turn(self, ruled: Ruled) -> None:
        """One measured turn."""
        began = time.perf_counter()
        self.run(ruled)
        self.ms.setdefault(ruled.name, []).append((time.perf_counter() - began) * 1000)

    def median(self, name: str) -> float:
        """The median of a rule's turns, in milliseconds."""
        return round(statistics.median(self.ms[name]), 1)


def measure(kept: Kept, rounds: int) -> dict[str, Any]:
    """Each rule by each engine in turn, and whether all found the same."""
    with engines(kept.directory, kept.shop) as others:
        contenders = [_ours(kept), _by_hand(kept)]
        for each in others:
            contenders.append(Contender(each.name, *[lambda ruled, each=each: each.find(ruled.name)] * 2))
        found = {ruled.name: [each.find(ruled) for each in contenders] for ruled in RULES}
        for _ in range(rounds):
            for ruled in RULES:
                for each in contenders:
                    each.turn(ruled)
    same = {name: len(set(answers)) == 1 for name, answers in found.items()}
    return {
        "rules": [
            {
                "rule": ruled.name,
                "words": ruled.words,
                "members": found[ruled.name][0][0],
                "same": same[ruled.name],
                "ms": {each.name: each.median(ruled.name) for each in contenders},
            }
            for ruled in RULES
        ],
        "targets": _targets({each.name: each for each in contenders}),
        "sound": all(same.values()),
    }


def _ours(kept: Kept) -> Contender:
    def run(ruled: Ruled) -> None:
        with kept.database.session(site_id=kept.site_id) as session:
            estimate(session, ruled.rule, NOW)

    def find(ruled: Ruled) -> Found:
        with kept.database.session(site_id=kept.site_id) as session:
            rules = SiteRules(session)
            members = rules.members(rules.parse(ruled.rule), NOW).subquery()
            ids = cast(members.c.customer_id, BigInteger)
            with evaluation(session):
                counted = select(func.count(), func.coalesce(func.sum(ids), 0)).select_from(members)
                count, total = session.sql(counted).one()
            assert count == estimate(session, ruled.rule, NOW).size
            return int(count), int(total)

    return Contender(OURS, find, run)


def _by_hand(kept: Kept) -> Contender:
    conn = kept.database.connect(autocommit=True)
    conn.execute("set jit = off; set work_mem = '64MB'")

    def find(ruled: Ruled) -> Found:
        counted = f"select count(*), sum(customer_id::bigint) from ({REFERENCE[ruled.name]}) found"
        count, total = conn.execute(counted).fetchall()[0]
        return int(count), int(total or 0)

    return Contender(BY_HAND, find, find)


def _targets(by_name: dict[str, Contender]) -> dict[str, Any]:
    ours, by_hand = by_name[OURS], by_name[BY_HAND]
    names = [ruled.name for ruled in RULES]
    ours_ms, by_hand_ms = (sum(each.median(name) for name in names) for each in (ours, by_hand))
    scale = sum(by_hand.median(name) for name in REFERENCE_RULES) / sum(TABLE_MS[name] for name in REFERENCE_RULES)
    table_ms = scale * sum(TABLE_MS.values())
    slowest = max(ours.median(name) for name in names)
    targets: dict[str, Any] = {
        "slowest_ms": {"is": slowest, "at_most": MOST_MS, "met": slowest <= MOST_MS},
        "sum_to_table": {
            "sum_ms": round(ours_ms),
            "table_ms_here": round(table_ms),
            "this_machine_to_tables": round(scale, 2),
            "is": round(ours_ms / table_ms, 2),
            "at_most": MOST_TIMES,
            "met": ours_ms <= MOST_TIMES * table_ms,
        },
        "sum_to_sql_by_hand": {"sum_ms": round(by_hand_ms), "is": round(ours_ms / by_hand_ms, 2)},
    }
    if USUAL in by_name:
        ahead = [name for name in names if ours.median(name) < by_name[USUAL].median(name)]
        targets["ahead_of_clickhouse_in_usual_layout"] = {
            "rules": ahead,
            "is": len(ahead),
            "at_least": LEAST_AHEAD,
            "met": len(ahead) >= LEAST_AHEAD,
        }
    return targets


def show(result: dict[str, Any], console: Console) -> None:
    """The figures as a table."""
    names = list(result["rules"][0]["ms"])
    table = Table(title="Exact estimates, ms (medians)", box=SIMPLE_HEAD, padding=(0, 1))
    table.add_column("", no_wrap=True)
    table.add_column("members", justify="right")
    for name in names:
        table.add_column(name, justify="right")
    for row in result["rules"]:
        values = (f"{row['ms'][name]:,.0f}" for name in names)
        table.add_row(row["rule"], f"{row['members']:,}" + ("" if row["same"] else " ≠"), *values)
    sums = (f"{sum(row['ms'][name] for row in result['rules']):,.0f}" for name in names)
    table.add_row("sum", "", *sums, style="bold")
    console.print(table)
    for row in result["rules"]:
        console.print(f"{row['rule']}: {row['words']}")
    if not all(row["same"] for row in result["rules"]):
        console.print("[red]Not sound: not all found the same customers.[/red]")
