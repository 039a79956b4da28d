"""The figures of `homing bench segments` as tables for people."""

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

Rows = list[dict[str, Any]]


def show_refresh(result: dict[str, Any], console: Console) -> None:
    """What so many changed customers cost, in each shop."""
    _refresh_table("A hundred segments brought up to date, ms (medians)", result["rows"], console)
    if "smaller_shop" in result:
        smaller = result["smaller_shop"]
        _refresh_table(f"The same in a shop of {smaller['customers']:,} customers", smaller["rows"], console)


def _refresh_table(title: str, rows: Rows, console: Console) -> None:
    table = _table(
        title, "customers changed", "homing", "one SQL a segment", "times", "narrowed by hand", "times",
        "memberships changed",
    )  # fmt: skip
    for row in rows:
        table.add_row(
            f"{row['customers']:,}", f"{row['homing_ms']:,.1f}",
            f"{row['one_sql_per_segment_ms']:,.1f}", f"{row['times']:.1f}",
            f"{row['one_narrowed_sql_per_segment_ms']:,.1f}", f"{row['times_narrowed']:.1f}",
            f"{row['memberships_changed']:,}" + (" ≠" if row["differing"] else ""),
        )  # fmt: skip
    console.print(table)


def show_replay(result: dict[str, Any], console: Console) -> None:
    """How fast events go through."""
    table = _table(
        f"{result['events']:,} events, a hundred segments fresh after each batch",
        "batch", "customers", "events/s/core", "Python µs", "PostgreSQL µs", "step ms", "slowest ms",
    )  # fmt: skip
    for row in result["rows"]:
        cpu, step = row["cpu_us_an_event"], row["step_ms"]
        table.add_row(
            f"{row['batch']:,}", f"{row['customers_a_batch']:,}", f"{row['events_per_second_per_core']:,}",
            f"{cpu['python']:.0f}", f"{cpu['postgresql']:.0f}", f"{step['mean']:,.0f}", f"{step['slowest']:,.0f}",
        )  # fmt: skip
    console.print(table)
    if result["differing"]:
        console.print(f"[red]Not sound: {result['differing']} memberships are not as SQL finds them.[/red]")


def show_fresh(result: dict[str, Any], console: Console) -> None:
    """How soon members are right."""
    rate = result["events_per_second"]
    table = _table(f"Under {rate['answered']:,} events/s over HTTP, ms", "", "p50", "p99", "most")
    for words, name in (("from 200 to membership", "event_to_membership_ms"), ("turn by time", "timed_turn_late_ms")):
        table.add_row(words, *(f"{result[name][share]:,.0f}" for share in ("p50", "p99", "most")))
    console.print(table)
    if not result["sound"]:
        console.print("[red]Not sound: a membership never came, came early, or an event was refused.[/red]")


def show_targets(result: dict[str, Any], console: Console) -> None:
    """What was wanted, and whether it is so."""
    for name, target in result["targets"].items():
        console.print(f"{name}: {target}")
    console.print(f"{result['cores']} cores, load {result['load']}.")


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1))
    for heading in headings:
        table.add_column(heading, justify="right")
    return table
