"""`homing bench campaign`: campaigns from `send` to the last settled row, all of Homing real, the sink as push service.

A shop of `--subscriptions` and one of a tenth of them lie in one database. What is asked:
- does a message cost the same in a campaign ten times as large, and does a worker need no more memory for it?
- do two workers on two cores send twice what one worker sends on one core? PostgreSQL, Valkey, the scheduler and the
  sink take their part of the same cores, so all of them are held on the one core as well.
"""

import json
import os
import statistics
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench.campaign_run import CampaignRun, run_campaign
from bench.installation import Installation, Shop, installed
from bench.processes import cores, pin
from bench.send_show import show_targets

TENTH = 10
SMALL_TURNS = 3
COST, MEMORY, SCALE = "cost, large to small", "memory, large to small", "two workers on two cores to one on one"
AT_MOST = {COST: 1.1, MEMORY: 1.1}
AT_LEAST = {SCALE: 1.8}


@dataclass(frozen=True, slots=True)
class Turn:
    """One campaign. `cores`: how many everything together ran on."""

    shop: str
    workers: int
    cores: int
    run: CampaignRun

    @property
    def cost_us(self) -> float:
        """CPU time of a message: the workers' and PostgreSQL's."""
        return self.run.cpu_us["worker"] + self.run.cpu_us["postgres"]


def run(
    subscriptions: Annotated[int, typer.Option(min=200, help="Subscriptions of the large shop.")] = 200_000,
    as_json: Annotated[bool, typer.Option("--json", help="The figures as JSON.")] = False,
) -> None:
    """A whole campaign: cost of a message, memory, PostgreSQL's time, and what a second worker brings."""
    console = Console(stderr=as_json)
    with tempfile.TemporaryDirectory(prefix="homing-bench-") as scratch:
        result = measure(Path(scratch), subscriptions, console)
    if as_json:
        print(json.dumps(result, indent=2))
    else:
        _show(result, console)
    if not result["sound"]:
        raise typer.Exit(1)


def measure(scratch: Path, subscriptions: int, console: Console) -> dict[str, Any]:
    """Every figure, and whether each message was accepted once."""
    with installed(scratch, [subscriptions // TENTH, subscriptions], console) as installation:
        turns = _take_turns(installation, console)
        received = installation.sink.counts()
    sent = sum(turn.run.messages for turn in turns)
    targets = _targets(turns[1:])  # the first one's connections and statistics are new
    return {
        "subscriptions": subscriptions,
        "turns": [asdict(turn) | {"rate": round(turn.run.rate)} for turn in turns],
        "database_us_a_message": _large(turns).run.cpu_us["postgres"],
        "a_message": _large(turns).run.a_message,
        "targets": targets,
        "sink": received,
        "sound": received["received"] == sent
        and received["rejected"] == 0
        and all(turn.run.accepted == turn.run.messages for turn in turns),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
    }


def _take_turns(installation: Installation, console: Console) -> list[Turn]:
    small, large = installation.shops
    everything = cores()
    bar = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    turns: list[Turn] = []
    with Progress(*bar, console=console, transient=True) as progress:

        def turn(name: str, shop: Shop, allowed: int) -> None:
            workers = len(installation.workers())
            task = progress.add_task(f"{name}, {workers} workers, {allowed} cores", total=shop.subscriptions)
            done = run_campaign(installation, shop, lambda received: progress.update(task, completed=received))
            progress.update(task, completed=shop.subscriptions)
            turns.append(Turn(name, workers, allowed, done))

        installation.add_worker()
        turn("small", small, len(everything))
        if len(everything) > 1:
            pin([os.getpid(), *installation.pids()], everything[:1])
            turn("large", large, 1)
            pin([os.getpid(), *installation.pids()], everything[:2])
        installation.add_worker()
        for _ in range(SMALL_TURNS):
            turn("small", small, min(len(everything), 2))
        turn("large", large, min(len(everything), 2))
        pin([os.getpid()], everything)
    return turns


def _large(turns: list[Turn]) -> Turn:
    return next(turn for turn in reversed(turns) if turn.shop == "large")


def _targets(turns: list[Turn]) -> dict[str, dict[str, Any]]:
    small = [turn for turn in turns if turn.shop == "small"]
    large = _large(turns)
    reached = {
        COST: large.cost_us / statistics.median(turn.cost_us for turn in small),
        MEMORY: large.run.memory_mb[1] / max(turn.run.memory_mb[1] for turn in small),
    }
    if turns[0].cores == 1:
        reached[SCALE] = large.run.rate / turns[0].run.rate
    return {name: _target(name, round(ratio, 3)) for name, ratio in reached.items()}


def _target(name: str, ratio: float) -> dict[str, Any]:
    if name in AT_MOST:
        return {"reached": ratio, "at_most": AT_MOST[name], "met": ratio <= AT_MOST[name]}
    return {"reached": ratio, "at_least": AT_LEAST[name], "met": ratio >= AT_LEAST[name]}


def _show(result: dict[str, Any], console: Console) -> None:
    table = Table(title="Campaigns, from send to the last settled row", box=SIMPLE_HEAD, padding=(0, 1))
    for heading in ("messages", "workers", "cores", "s", "planned", "msg/s", "worker µs", "DB µs", "sink µs", "MB"):
        table.add_column(heading, justify="right", no_wrap=True)
    for turn in result["turns"]:
        took, before_and_most = turn["run"], turn["run"]["memory_mb"]
        table.add_row(
            f"{took['messages']:,}",
            str(turn["workers"]),
            str(turn["cores"]),
            f"{took['seconds']:.1f}",
            f"{took['planned']:.1f}",
            f"{turn['rate']:,}",
            *(f"{took['cpu_us'][name]:.0f}" for name in ("worker", "postgres", "sink")),
            f"{before_and_most[0]:.0f}→{before_and_most[1]:.0f}",
        )
    console.print(table)
    show_targets(result["targets"], console)
    sink = result["sink"]
    console.print(
        f"µs of CPU a message; MB: the largest worker's memory before and at most. The sink received "
        f"{sink['received']:,}, refused {sink['rejected']:,}, decrypted {sink['decrypted']:,}. "
        f"{result['cores']} cores, load {result['load']}."
    )
    written = result["a_message"]
    console.print(
        f"A message of the large campaign: {written['wal_bytes']:,.0f} bytes of WAL, "
        f"{written['delivery_bytes']:,.0f} of the delivery's row and indexes, "
        f"{written['redis_commands']:.2f} commands to Redis."
    )
    if not result["sound"]:
        console.print(f"[red]Not sound: not every message was accepted once {sink['faults']}.[/red]")
