"""Starts child processes, starts them again when they end, and stops them in order.

    supervisor = Supervisor()
    supervisor.add(Child("postgres", command, stage=0, ready=server.ready))   # returns once it is ready
    supervisor.pids()                                                         # {"postgres": 4711}
    supervisor.stop()                                                         # the highest stage first

Every child is forked by one thread that lives as long as the supervisor: Linux then ends the children when this
process is killed, since a parent-death signal follows the forking thread. Each child leads a session of its own, so
that Ctrl-C in the terminal reaches the supervisor alone, which then stops them in order.
"""

import ctypes
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO

from push_server.embedded.process import Command
from push_server.errors import StartupError

log = logging.getLogger(__name__)

POLL_SECONDS = 0.1
QUICK_DEATH_SECONDS = 10.0  # a child that ended sooner than this is started again after a pause
PAUSES = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
STARTS_BEFORE_GIVING_UP = 4  # of a child that was never ready yet
LOG_LIMIT = 16 << 20

_PR_SET_PDEATHSIG = 1
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


@dataclass(slots=True)
class Child:
    """A process to keep alive. Stages stop from the highest to the lowest, each waiting for the one before."""

    name: str
    command: Command
    stage: int = 1
    ready: Callable[[], bool] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    grace: float = 20.0
    log: Path | None = None
    """Where its output goes; None: to this process's own."""
    pass_fds: tuple[int, ...] = ()
    before: Callable[[], None] | None = None
    """Called each time before it is started, to clear what a killed predecessor left."""
    explain: Callable[[str], StartupError] | None = None
    """From what it has logged since its last start: why it ended, for people."""


class _Run:
    """What the supervisor knows of one child."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0
        self.next_start = 0.0
        self.deaths = 0  # quick ones, in a row
        self.log_start = 0


class Supervisor:
    """Keeps children alive. All methods may be called from any thread."""

    def __init__(self, on_change: Callable[[dict[str, int]], None] | None = None) -> None:
        self._runs: dict[str, _Run] = {}
        self._tasks: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._on_change = on_change
        self._stopping = False
        self._stopped = threading.Event()
        self.hurry = False
        """Set to true to cut the grace of a stop that is under way."""
        self._thread = threading.Thread(target=self._loop, name="supervisor", daemon=True)
        self._thread.start()

    def add(self, child: Child, *, wait: bool = True, timeout: float = 60.0) -> None:
        """Start a child; with `wait`, return once it is ready. StartupError when it will not start."""
        run = _Run(child)
        self._runs[child.name] = run
        self._tasks.put(partial(self._spawn, run))
        if wait:
            self.await_ready(child.name, timeout)

    def await_ready(self, name: str, timeout: float = 60.0) -> None:
        """Return once the child is ready; StartupError when it keeps ending, or takes longer than `timeout` seconds."""
        run = self._runs[name]
        deadline = time.monotonic() + timeout
        while not (run.process is not None and (run.child.ready is None or run.child.ready())):
            if run.deaths >= STARTS_BEFORE_GIVING_UP or time.monotonic() > deadline or self._stopping:
                raise self._explain(run)
            time.sleep(0.05)

    def pids(self) -> dict[str, int]:
        """The process id of each child that runs now, by name."""
        alive = [(name, run.process) for name, run in self._runs.items()]
        return {name: process.pid for name, process in alive if process is not None and process.poll() is None}

    def wait(self, timeout: float | None = None) -> bool:
        """Until stopped; false when `timeout` seconds have passed before."""
        return self._stopped.wait(timeout)

    def stop(self) -> None:
        """End all children, the highest stage first, each with its grace; then return."""
        if not self._stopping:
            self._stopping = True
            self._tasks.put(self._stop_all)
        self._thread.join()

    # From here on: the supervisor's own thread.

    def _loop(self) -> None:
        while not self._stopped.is_set():
            try:
                self._tasks.get(timeout=POLL_SECONDS)()
            except Empty:
                if not self._stopping:
                    for run in list(self._runs.values()):
                        self._tend(run)

    def _spawn(self, run: _Run) -> None:
        child = run.child
        run.started_at = time.monotonic()
        try:
            if child.before is not None:
                child.before()
            with _output(child.log) as output:
                run.log_start = output.tell() if output is not None else 0
                run.process = child.command.popen(
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                    pass_fds=child.pass_fds,
                    preexec_fn=partial(_end_with_parent, child.stop_signal, os.getpid()),
                )
        except (OSError, StartupError, subprocess.SubprocessError) as error:
            log.error("%s cannot be started: %s", child.name, error)
            self._count_death(run)
        self._changed()

    def _tend(self, run: _Run) -> None:
        if run.process is not None:
            status = run.process.poll()
            if status is None:
                return
            log.warning("%s (pid %d) ended: %s", run.child.name, run.process.pid, _how(status))
            run.process = None
            self._count_death(run)
        if time.monotonic() >= run.next_start:
            self._spawn(run)

    def _count_death(self, run: _Run) -> None:
        now = time.monotonic()
        run.deaths = run.deaths + 1 if now - run.started_at < QUICK_DEATH_SECONDS else 0
        run.next_start = now + PAUSES[min(run.deaths, len(PAUSES) - 1)]
        if run.deaths >= STARTS_BEFORE_GIVING_UP and run.deaths % 5 == STARTS_BEFORE_GIVING_UP:
            log.error("%s It is tried again every few seconds.", self._explain(run).detail)

    def _explain(self, run: _Run) -> StartupError:
        if run.child.explain is not None and run.child.log is not None:
            with suppress(OSError), run.child.log.open("rb") as file:  # it may be gone, with its volume
                file.seek(run.log_start)
                return run.child.explain(file.read(1 << 20).decode(errors="replace"))
        where = f"its log says why: {run.child.log}" if run.child.log else "its messages above say why"
        return StartupError(f"{run.child.name} does not come up; {where}.", code="child_failed")

    def _stop_all(self) -> None:
        for stage in sorted({run.child.stage for run in self._runs.values()}, reverse=True):
            runs = [run for run in self._runs.values() if run.child.stage == stage and run.process is not None]
            for run in runs:
                _signal(run, run.child.stop_signal)
            for run in runs:
                self._await_end(run)
        self._stopped.set()
        self._changed()

    def _await_end(self, run: _Run) -> None:
        assert run.process is not None
        deadline = time.monotonic() + run.child.grace
        while run.process.poll() is None:
            if time.monotonic() > deadline or (self.hurry and run.child.stage > 0):
                log.warning("%s did not end in time and is killed", run.child.name)
                _signal(run, signal.SIGKILL)
                run.process.wait()
            time.sleep(0.02)

    def _changed(self) -> None:
        if self._on_change is not None:
            try:
                self._on_change(self.pids())
            except StartupError as error:  # a full disk must not stop the tending
                log.error("cannot write down the processes: %s", error)


def _signal(run: _Run, number: signal.Signals) -> None:
    assert run.process is not None
    with suppress(ProcessLookupError):
        run.process.send_signal(number)


@contextmanager
def _output(path: Path | None) -> Iterator[IO[bytes] | None]:
    """The log file, open for appending; it starts anew, keeping one predecessor, once it is large."""
    if path is None:
        yield None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_LIMIT:
        path.replace(path.with_suffix(path.suffix + ".1"))
    path.touch(mode=0o600)
    with path.open("ab") as file:
        yield file


def _how(status: int) -> str:
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


def _end_with_parent(number: int, parent: int) -> None:
    """In the child, before exec: a signal when the parent dies, however it dies (Linux)."""
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
