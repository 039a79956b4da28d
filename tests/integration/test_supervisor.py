"""The supervisor, on real processes."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from push_server.embedded.home import started
from push_server.embedded.process import Command
from push_server.errors import StartupError
from push_server.supervisor import Child, Supervisor


def until(true: Callable[[], object]) -> None:
    """Return once it holds; fail when it does not within what the slowest machine may take."""
    deadline = time.monotonic() + 120
    while not true():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)


def shell(script: str) -> Command:
    return Command(["/bin/sh", "-c", script])


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    supervisor = Supervisor()
    yield supervisor
    supervisor.hurry = True
    supervisor.stop()


def test_a_killed_child_is_back_and_the_others_are_left_alone(supervisor: Supervisor) -> None:
    for name in ("one", "two"):
        supervisor.add(Child(name, shell("exec sleep 60")))
    before, took = supervisor.pids(), list[float]()
    while not took or (took[-1] > 2 and len(took) < 3):  # seconds; a machine that is busy gets another try
        killed, began = supervisor.pids()["one"], time.monotonic()
        os.kill(killed, signal.SIGKILL)
        until(lambda killed=killed: supervisor.pids().get("one", killed) != killed)  # type: ignore[misc]
        took.append(time.monotonic() - began)
    assert took[-1] <= 2
    assert supervisor.pids()["two"] == before["two"]


def test_stages_stop_in_order_each_child_with_its_grace(supervisor: Supervisor, tmp_path: Path) -> None:
    record = tmp_path / "record"
    for name, stage in (("server", 0), ("api", 1), ("worker", 2)):
        last = f"sleep 0.2; echo {name} >> {record}; exit"
        script = f"trap '{last}' TERM; touch {tmp_path}/{name}; while :; do sleep 0.02; done"
        supervisor.add(Child(name, shell(script), stage, ready=(tmp_path / name).exists))
    supervisor.stop()
    assert record.read_text().split() == ["worker", "api", "server"]
    assert supervisor.pids() == {}


def test_a_child_that_does_not_listen_is_killed_after_its_grace(supervisor: Supervisor, tmp_path: Path) -> None:
    deaf = shell(f"trap '' TERM; touch {tmp_path}/up; while :; do sleep 0.02; done")
    supervisor.add(Child("deaf", deaf, grace=0.2, ready=(tmp_path / "up").exists))
    pid = supervisor.pids()["deaf"]
    supervisor.stop()
    assert started(pid) is None


def test_a_child_that_will_not_start_says_why(supervisor: Supervisor, tmp_path: Path) -> None:
    def explain(output: str) -> StartupError:
        return StartupError(f"it said: {output.strip()}", code="no_luck")

    log = tmp_path / "log"
    log.write_text("what an earlier run said\n")
    child = Child("unlucky", shell("echo no luck; exit 3"), ready=lambda: False, log=log, explain=explain)
    with pytest.raises(StartupError, match=r"^it said: no luck$"):
        supervisor.add(child)


def test_a_log_that_is_gone_ends_nobody_else(supervisor: Supervisor, tmp_path: Path) -> None:
    directory = tmp_path / "logs"
    supervisor.add(Child("healthy", shell("exec sleep 60")))
    explain, log = partial(StartupError, code="x"), directory / "log"
    supervisor.add(Child("unlucky", shell("exit 3"), ready=lambda: False, log=log, explain=explain), wait=False)
    until(lambda: not _replaced(directory))
    healthy = supervisor.pids()["healthy"]
    with pytest.raises(StartupError, match=r"^unlucky does not come up; its log says why"):
        supervisor.await_ready("unlucky")
    until(lambda: supervisor._runs["unlucky"].deaths > 5)
    assert supervisor.pids()["healthy"] == healthy


def _replaced(directory: Path) -> bool:
    """Put a file where the directory of the logs is; false once that is so."""
    if directory.is_dir():
        shutil.rmtree(directory)
        directory.write_text("a volume that is gone")
    return not directory.is_file()


def test_a_crash_loop_goes_on_with_pauses(
    supervisor: Supervisor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    count = tmp_path / "count"
    supervisor.add(Child("looping", shell(f"echo x >> {count}; [ $(wc -l < {count}) -ge 5 ] && exec sleep 60; exit 1")))
    until(lambda: count.exists() and count.read_text().count("x") == 5)
    assert any("looping does not come up" in record.message for record in caplog.records)


@pytest.mark.skipif(sys.platform != "linux", reason="parent-death signals are Linux's")
def test_children_end_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    program = f"""
from push_server.embedded.process import Command
from push_server.supervisor import Child, Supervisor
supervisor = Supervisor()
supervisor.add(Child("child", Command(["sleep", "60"])))
open({str(tmp_path / "pid")!r}, "w").write(str(supervisor.pids()["child"]))
supervisor.wait()
"""
    process = subprocess.Popen([sys.executable, "-c", program])
    until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    process.kill()
    process.wait()
    child = int((tmp_path / "pid").read_text())
    until(lambda: started(child) is None)
