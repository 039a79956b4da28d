"""`homing demo --once`: left alone, and with every one of its processes killed while it sends."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest

PROCESSES = ["sandbox", "worker-1", "postgres", "api", "valkey", "worker-2", "scheduler"]


@dataclass
class Demo:
    """A demo under way, watched from outside: its home, its processes, and the push service's journal."""

    process: subprocess.Popen[str]
    temporary: Path
    mark: str
    killed: list[str] = field(default_factory=list)
    _read_to: int = 0
    _shown: int = 0

    @property
    def home(self) -> Path | None:
        return next(self.temporary.glob("homing-demo-*"), None)

    def shown(self) -> int:
        """How many notifications have been shown so far."""
        journal = self.home and self.home / "demo" / "push_service.jsonl"
        if journal and journal.exists():
            with journal.open("rb") as lines:
                lines.seek(self._read_to)
                for line in lines:
                    if line.endswith(b"\n"):
                        self._read_to += len(line)
                        self._shown += b'"shown": ' in line
        return self._shown

    def processes(self) -> dict[str, int]:
        """Process ids by name, as the demo has written them down."""
        try:
            running = json.loads((self.home / "run.json").read_text()) if self.home else {"processes": {}}
        except FileNotFoundError:
            return {}  # it is ending
        return {name: int(pid) for name, (pid, _started) in running["processes"].items()}

    def kill(self, name: str) -> None:
        """SIGKILL one of its processes, once it is there (again)."""
        deadline = time.monotonic() + 30
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"{name} has not been started again"
            if pid := self.processes().get(name):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass  # killed a moment ago, and not yet written down as started again
                else:
                    self.killed.append(name)
                    return
            time.sleep(0.05)

    def left(self) -> list[str]:
        """Command lines of processes that outlived it."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                command, environment = (entry / "cmdline").read_bytes(), (entry / "environ").read_bytes()
            except OSError:
                continue
            if self.mark.encode() in environment or str(self.temporary).encode() in command:
                found.append(command.replace(b"\0", b" ").decode())
        return found


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    """`homing demo --once`, started."""
    mark = f"demo-{uuid4().hex}"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HOMING_")}
    environment = clean | {"TMPDIR": str(tmp_path), "MARK": mark, "COLUMNS": "160"}
    process = subprocess.Popen(
        [sys.executable, "-m", "push_server", "demo", "--once"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    yield Demo(process, tmp_path, mark)
    if process.poll() is None:
        process.terminate()
        process.wait(60)


def end(demo: Demo, timeout: float) -> str:
    """What it said, once it has ended well and left nothing running."""
    said, _ = demo.process.communicate(timeout=timeout)
    assert demo.process.returncode == 0, f"killed {demo.killed}\n{said}"
    assert "each expected notification was shown exactly once" in said
    assert demo.left() == []
    assert demo.home is None
    return said


def wait_for_shown(demo: Demo, number: int, patience: float = 100) -> None:
    """Until so many notifications are shown; what a killed process held goes out again within a minute."""
    before, since = -1, time.monotonic()
    while (shown := demo.shown()) < number:
        assert demo.process.poll() is None, f"it ended at {shown} of {number}, killed {demo.killed}"
        if shown != before:
            before, since = shown, time.monotonic()
        limit = patience if shown else 300  # loading comes first
        assert time.monotonic() - since < limit, f"it stays at {shown} of {number}, killed {demo.killed}"
        time.sleep(0.01)


def test_it_tells_the_whole_story(demo: Demo) -> None:
    said = end(demo, timeout=240)
    for part in ("moved so that the last day is today", "Bought once, 60 days silent", "a second", "decrypted"):
        assert part in said
    assert re.search(r"20 points or more expire within 7 days +│ +[1-9]\d+ ", said)
    assert re.search(r"You have \d+ points, \d+ of them expire on \d+ [A-Z][a-z]+\.", said)


def test_each_process_killed_once_while_it_sends(demo: Demo) -> None:
    for number, name in enumerate(PROCESSES):
        wait_for_shown(demo, 20 + 200 * number)
        demo.kill(name)
    end(demo, timeout=240)
    assert demo.killed == PROCESSES


@pytest.mark.nightly
def test_any_process_killed_at_any_moment(demo: Demo) -> None:
    seed = random.SystemRandom().randrange(10**6)
    chance = random.Random(seed)
    print("seed", seed)
    while "sandbox" not in demo.processes():
        assert demo.process.poll() is None, "it did not start"
        time.sleep(0.05)
    while demo.process.poll() is None and len(demo.killed) < 12:
        time.sleep(chance.uniform(0, 8))  # any moment, loading and judging included
        demo.kill(chance.choice(PROCESSES))
    end(demo, timeout=400)
