"""`homing bench ingest`: events a second, each committed with fsync before its answer, beside two plain baselines.

Each is one uvicorn process on a core of its own, before one embedded PostgreSQL; the load comes from a process on the
other core. They take turns, each figure is the median of its turns, and at the end the rows are counted: what was
answered with 200 must be there. CPU times are those of the API's process and of PostgreSQL's, which other work on the
machine disturbs least.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from bench.ingest_baseline import BaselineEvent
from bench.processes import cores, cpu_us, family_cpu_us
from push_server.db import Database, driver_url
from push_server.embedded.postgres import EmbeddedPostgres
from push_server.embedded.process import free_port
from push_server.migrations import upgrade
from push_server.settings import settings
from push_server.sites.service import create_site

OURS, INSERT, TUTORIAL = "homing", "INSERT", "SQLModel"
"""INSERT and SQLModel: FastAPI with pydantic and one INSERT a request, and as FastAPI's tutorial does it."""
SHAPES = {100: 16, 1: 64}
"""Events a request → connections."""
TARGETS = {100: (25_000, 5.0), 1: (2_000, 3.0)}
"""Events a request → events a second, and times a baseline (the project's targets on two cores)."""


@dataclass(slots=True)
class Contender:
    """One server taking requests of one shape."""

    name: str
    events: int
    url: str
    pid: int
    rates: list[float] = field(default_factory=list)
    api_us: list[float] = field(default_factory=list)
    database_us: list[float] = field(default_factory=list)
    median_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    taken: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """Medians; `cpu_api_us` and `cpu_database_us` are microseconds of CPU an event."""

    name: str
    events_a_request: int
    events_per_second: float
    slowest: float
    fastest: float
    times_insert: float | None
    times_tutorial: float | None
    cpu_api_us: float
    cpu_database_us: float
    median_ms: float
    p99_ms: float


def run(
    seconds: Annotated[float, typer.Option(min=1, help="How long to go on taking turns (three at least).")] = 24.0,
    turn: Annotated[float, typer.Option(min=0.2, help="Seconds of a turn.")] = 2.0,
    as_json: Annotated[bool, typer.Option("--json", help="The figures as JSON.")] = False,
) -> None:
    """Events a second, committed: homing beside FastAPI with pydantic and an INSERT a request, and with SQLModel."""
    console = Console(stderr=as_json)
    with tempfile.TemporaryDirectory(prefix="homing-bench-") as scratch:
        result = measure(Path(scratch), seconds, turn)
    if as_json:
        print(json.dumps(result, indent=2))
    else:
        _show(result, console)
    if not result["sound"]:
        raise typer.Exit(1)


def measure(scratch: Path, seconds: float, turn: float) -> dict[str, Any]:
    """Take turns for about `seconds`; every figure, and whether each event that was answered is stored, once."""
    scratch.chmod(0o755)
    with _postgres(scratch) as server:
        database = Database(server.url)
        upgrade(database)
        BaselineEvent.metadata.create_all(database.engine)
        environment = _environment(scratch, server.url)
        with database.session() as session:
            key = create_site(session, "Bench", ["https://shop.example"]).public_key
        with (
            _api(["-m", "push_server", "serve", "--port"], environment) as ours,
            _api(
                ["-m", "uvicorn", "bench.ingest_baseline:app", "--log-level", "warning", "--port"], environment
            ) as baseline,
        ):
            url, pid = baseline
            servers = ((OURS, ours), (INSERT, baseline), (TUTORIAL, (f"{url}/tutorial", pid)))
            contenders = [Contender(name, events, *server) for events in SHAPES for name, server in servers]
            turns = _take_turns(contenders, key, server, seconds, turn)
        stored = [_count(database, "event"), _count(database, "baseline_event")]
        database.engine.dispose()
    taken = [sum(each.taken for each in contenders if (each.name == OURS) is ours) for ours in (True, False)]
    rows = _rows(contenders)
    return {
        "rows": [asdict(row) for row in rows],
        "targets": [_verdict(row) for row in rows if row.name == OURS],
        "turns": turns,
        "answered": taken,
        "stored": stored,
        "failed": sum(each.failed for each in contenders),
        "sound": stored == taken and not any(each.failed for each in contenders),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
    }


def _take_turns(contenders: list[Contender], key: str, server: "_Server", seconds: float, turn: float) -> int:
    number = 0
    for each in contenders:
        number += 1
        _one_turn(each, key, server, min(turn, 1.0), number, warm_up=True)
    end, turns = time.monotonic() + seconds, 0
    while turns < 3 or time.monotonic() < end:
        for each in contenders:
            number += 1
            _one_turn(each, key, server, turn, number)
        turns += 1
    return turns


def _one_turn(
    each: Contender, key: str, server: "_Server", seconds: float, number: int, *, warm_up: bool = False
) -> None:
    argv = [sys.executable, "-m", "bench.load", each.url, key]
    argv += [str(value) for value in (each.events, SHAPES[each.events], seconds, number)]
    api, database = cpu_us(each.pid), server.cpu_us()
    done = subprocess.run(argv, capture_output=True, text=True, check=True, preexec_fn=lambda: _pin(-1))
    result = json.loads(done.stdout)
    each.taken += result["events"]
    each.failed += result["failed"]
    if warm_up or not result["events"]:
        return
    each.rates.append(result["events"] / result["seconds"])
    each.api_us.append((cpu_us(each.pid) - api) / result["events"])
    each.database_us.append((server.cpu_us() - database) / result["events"])
    each.median_ms.append(result["median_ms"])
    each.p99_ms.append(result["p99_ms"])


@dataclass(slots=True)
class _Server:
    url: str
    pid: int

    def cpu_us(self) -> float:
        """CPU time of the server, with its children, living or gone."""
        return family_cpu_us(self.pid)


@contextmanager
def _postgres(scratch: Path) -> Iterator[_Server]:
    embedded = EmbeddedPostgres(scratch / "postgres")
    embedded.prepare()
    with embedded.command().popen(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait(embedded.ready)
            yield _Server(embedded.url, process.pid)
        finally:
            process.terminate()


@contextmanager
def _api(argv: list[str], environment: dict[str, str]) -> Iterator[tuple[str, int]]:
    """An API process on the first core; its URL and process id."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    process = subprocess.Popen([sys.executable, *argv, str(port)], env=environment, preexec_fn=lambda: _pin(0))
    try:
        _wait(lambda: process.poll() is not None or _answers(url))
        yield url, process.pid
    finally:
        process.terminate()
        process.wait(20)


def _environment(scratch: Path, url: str) -> dict[str, str]:
    values = {
        "HOMING_HOME": str(scratch / "home"),
        "HOMING_DATABASE_URL": url,
        "HOMING_REDIS_URL": f"unix://{scratch}/none",  # ingest needs none
        "HOMING_SECRET_KEY": "bench-bench-bench-bench-bench-bench!",
        "HOMING_LOG_LEVEL": "WARNING",
        "BENCH_DATABASE_URL": driver_url(url),
    }
    os.environ.update(values)
    settings.cache_clear()
    return dict(os.environ)


def _pin(core: int) -> None:
    allowed = cores()
    if len(allowed) > 1:
        os.sched_setaffinity(0, {allowed[core]})


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url + "/openapi.json", timeout=5):
            return True
    except OSError:
        return False


def _wait(condition: Any) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError("a server of the benchmark did not start")
        time.sleep(0.05)


def _count(database: Database, table: str) -> int:
    with database.connect() as conn:
        return int(conn.execute(f"select count(*) from {table}").fetchall()[0][0])


def _rows(contenders: list[Contender]) -> list[Row]:
    medians = {(each.name, each.events): statistics.median(each.rates) for each in contenders}
    return [
        Row(
            name=each.name,
            events_a_request=each.events,
            events_per_second=round(medians[each.name, each.events]),
            slowest=round(min(each.rates)),
            fastest=round(max(each.rates)),
            times_insert=round(medians[OURS, each.events] / medians[INSERT, each.events], 2)
            if each.name == OURS
            else None,
            times_tutorial=(
                round(medians[OURS, each.events] / medians[TUTORIAL, each.events], 2) if each.name == OURS else None
            ),
            cpu_api_us=round(statistics.median(each.api_us), 1),
            cpu_database_us=round(statistics.median(each.database_us), 1),
            median_ms=statistics.median(each.median_ms),
            p99_ms=statistics.median(each.p99_ms),
        )
        for each in contenders
    ]


def _verdict(row: Row) -> dict[str, Any]:
    rate, times = TARGETS[row.events_a_request]
    return {
        "events_a_request": row.events_a_request,
        "events_per_second": {"at_least": rate, "met": row.events_per_second >= rate},
        "times_insert": {"at_least": times, "met": (row.times_insert or 0) >= times},
        "times_tutorial": {"at_least": times, "met": (row.times_tutorial or 0) >= times},
    }


def _show(result: dict[str, Any], console: Console) -> None:
    table = Table(title="Events a second, committed (medians)", box=SIMPLE_HEAD, padding=(0, 0))
    table.add_column("", no_wrap=True)
    for heading in ("batch", "events/s", "±", "×INSERT", "×SQLModel", "API µs", "DB µs", "p99 ms"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in result["rows"]:
        table.add_row(
            row["name"],
            str(row["events_a_request"]),
            f"{row['events_per_second']:,}",
            f"{(row['fastest'] - row['slowest']) / row['events_per_second'] / 2:.0%}",
            *("" if row[times] is None else f"{row[times]:.1f}" for times in ("times_insert", "times_tutorial")),
            f"{row['cpu_api_us']:.0f}",
            f"{row['cpu_database_us']:.0f}",
            f"{row['p99_ms']:.0f}",
            style="bold" if row["name"] == OURS else None,
        )
    console.print(table)
    console.print(
        f"INSERT: FastAPI, pydantic and one INSERT a request; SQLModel: as FastAPI's tutorial. "
        f"µs of CPU an event; ± is half of what lies between the slowest and the fastest of {result['turns']} turns. "
        f"Answered {sum(result['answered']):,}, stored {sum(result['stored']):,}, "
        f"failed {result['failed']:,}. {result['cores']} cores, load {result['load']}."
    )
    if not result["sound"]:
        console.print(f"[red]Not sound: answered {result['answered']}, stored {result['stored']}.[/red]")
