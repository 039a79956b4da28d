"""`homing bench segments`: its parts one after the other, their figures, and what became of the targets."""

import json
import os
from collections.abc import Callable
from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from bench import segments, segments_fresh, segments_refresh, segments_replay
from bench.segments_data import NOW
from bench.segments_home import Kept, kept_shop
from bench.segments_show import show_fresh, show_refresh, show_replay, show_targets
from bench.segments_stored import clean, clock_at, store_hundred


class Part(StrEnum):
    """What is measured."""

    ESTIMATES = "estimates"
    REFRESH = "refresh"
    REPLAY = "replay"
    FRESH = "fresh"


SMALLER = 0.1
"""The scale of the second shop, that tells whether the number of customers makes a refresh slower."""
_SHOW: dict[Part, Callable[[dict[str, Any], Console], None]] = {
    Part.REFRESH: show_refresh,
    Part.REPLAY: show_replay,
    Part.FRESH: show_fresh,
}


def run(
    scale: Annotated[float, typer.Option(min=0.0001, max=5, help="1: 1,000,000 customers and 20,000,000 events.")] = 1,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each rule, and of each size of a refresh.")] = 5,
    only: Annotated[list[Part] | None, typer.Option(help="This part alone, and those of further --only.")] = None,
    events: Annotated[int, typer.Option(min=1000, help="Events of the replay, and over HTTP.")] = 60_000,
    rate: Annotated[int, typer.Option(min=100, help="Events a second over HTTP.")] = segments_fresh.RATE,
    data: Annotated[Path | None, typer.Option(help="Where the shops are kept (HOMING_HOME/bench).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The figures as JSON.")] = False,
) -> None:
    """Segments: exact estimates beside DuckDB, ClickHouse and SQL by hand; a hundred segments kept fresh."""
    console = Console(stderr=as_json)
    parts = [part for part in Part if not only or part in only]
    result: dict[str, Any] = {"scale": scale, "rounds": rounds}
    with kept_shop(data, scale, console) as kept:
        if Part.ESTIMATES in parts:
            _add(result, segments.measure(kept, rounds))
        if parts != [Part.ESTIMATES]:
            _keep_fresh(result, kept, parts, data, console, events, rate)
    result |= {"cores": os.cpu_count(), "load": round(os.getloadavg()[0], 2)}
    if as_json:
        print(json.dumps(result, indent=2))
    else:
        _show(result, parts, console)
    if not result["sound"]:
        raise typer.Exit(1)


def _keep_fresh(
    result: dict[str, Any],
    kept: Kept,
    parts: list[Part],
    data: Path | None,
    console: Console,
    events: int,
    rate: int,
) -> None:
    """The parts that want the hundred segments stored, which are taken away afterwards."""
    is_grown = Part.REFRESH in parts and kept.scale == 1
    with kept_shop(data, SMALLER, console) if is_grown else nullcontext() as smaller:
        shops = [shop for shop in (smaller, kept) if shop is not None]
        for shop in shops:
            console.print(f"Finding the members of a hundred segments over {shop.customers:,} customers …")
            with clock_at(NOW):
                result["hundred_segments_found_s"] = round(store_hundred(shop), 1)
        try:
            if Part.REFRESH in parts:
                _add(result, segments_refresh.measure(kept, smaller, result["rounds"]), Part.REFRESH)
            if Part.REPLAY in parts:
                _add(result, segments_replay.measure(kept, events), Part.REPLAY)
            if Part.FRESH in parts:
                _add(result, segments_fresh.measure(kept, events, rate), Part.FRESH)
        finally:
            for shop in shops:
                clean(shop)


def _add(result: dict[str, Any], measured: dict[str, Any], name: str | None = None) -> None:
    """A part's figures, by its name if it has one; targets and soundness are those of all parts."""
    result["targets"] = result.get("targets", {}) | measured.pop("targets")
    result["sound"] = result.get("sound", True) and measured["sound"]
    if name is None:
        measured.pop("sound")
        result |= measured
    else:
        result[name] = measured


def _show(result: dict[str, Any], parts: list[Part], console: Console) -> None:
    if Part.ESTIMATES in parts:
        segments.show(result, console)
    for part in parts:
        if part in _SHOW:
            _SHOW[part](result[part], console)
    show_targets(result, console)
