"""`homing up` from start to end, on a home that others cannot enter, as root where the tests run as root."""

import json
import os
import pwd
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from push_server import servers
from push_server.cli import app
from push_server.embedded.home import Home, Running, started
from push_server.errors import StartupError
from push_server.settings import settings
from push_server.stack import Stack
from tests.integration.test_supervisor import until

HOMING = [sys.executable, "-P", "-m", "push_server"]
UNSET = ("HOMING_DATABASE_URL", "HOMING_REDIS_URL", "HOMING_SECRET_KEY", "HOMING_PUBLIC_URL")


@dataclass
class Up:
    """A `homing up` process of the tests."""

    home: Home
    prefix: tuple[str, ...] = ()

    def start(self, workers: int = 1) -> None:
        variables = {name: value for name, value in os.environ.items() if name not in UNSET}
        self.process = subprocess.Popen(
            [*self.prefix, *HOMING, "up", "--port", "0", "--workers", str(workers)],
            env=variables | {"HOMING_HOME": str(self.home.directory)},
            stdout=subprocess.PIPE,
            text=True,
        )

    def wait(self) -> None:
        """Until it says that it is up; then what it wrote down is at hand."""
        assert self.process.stdout is not None
        lines = iter(self.process.stdout.readline, "")
        assert any(line.startswith("Homing is up") for line in lines), "it ended before it was up"

    @property
    def running(self) -> Running:
        running = self.home.running()
        assert running is not None
        return running

    def pid(self, name: str) -> int:
        return int(self.running.processes[name][0])

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.running.url}/readyz", timeout=5) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    def gone(self, running: Running) -> bool:
        """Whether nothing of what ran is left: neither the children nor PostgreSQL's own."""
        data = str(self.home.path("postgres", "data"))
        children = [started(int(pid)) == mark for pid, mark in running.processes.values()]
        return not any(children) and not any(_working_directory(path) == data for path in Path("/proc").glob("[0-9]*"))


def _working_directory(process: Path) -> str | None:
    try:
        return os.readlink(process / "cwd")
    except OSError:
        return None


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """Up, below a directory of mode 700: as root, PostgreSQL's user could not enter it without help."""
    directory = tmp_path_factory.mktemp("up")
    directory.chmod(0o700)
    up = Up(Home(directory / "home"))
    up.start(workers=2)
    up.wait()
    yield up
    up.process.terminate()
    up.process.wait(120)


def test_each_process_that_is_killed_comes_back(up: Up) -> None:
    for name in up.running.processes:
        before = up.pid(name)
        os.kill(before, signal.SIGKILL)
        until(lambda name=name, before=before: up.pid(name) != before and up.ready())  # type: ignore[misc]
    assert set(up.running.processes) == {"postgres", "valkey", "api", "worker-1", "worker-2", "scheduler"}


def test_commands_use_the_servers_that_run(up: Up, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in UNSET:
        monkeypatch.delenv(name, raising=False)
    with servers.environment({"HOMING_HOME": str(up.home.directory)}):
        arguments = ["--name", "Shop", "--origin", "https://shop.example", "--time-zone", "Europe/Budapest", "--json"]
        result = CliRunner().invoke(app, ["site", "create", *arguments])
        made = json.loads(result.stdout)
        assert list(made) == ["site_id", "public_key", "secret_key", "vapid_public_key"]
        narrow = ["site", "key", "create", "--site", made["site_id"], "--scope", "site:read", "--json"]
        key = json.loads(CliRunner().invoke(app, narrow).stdout)["secret_key"]
    request = urllib.request.Request(f"{up.running.url}/v1/site", headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request) as response:
        assert json.load(response)["name"] == "Shop"


def test_a_second_one_says_where_the_first_is(up: Up) -> None:
    with pytest.raises(StartupError) as refused:
        Stack(Home(up.home.directory), port=0).start()
    assert refused.value.code == "already_up"
    assert up.running.url is not None
    assert up.running.url in refused.value.detail
    assert str(up.process.pid) in refused.value.detail
    assert up.ready()


def test_a_taken_port_is_named_with_the_way_out(up: Up, tmp_path: Path) -> None:
    assert up.running.url is not None
    port = int(up.running.url.rpartition(":")[2])
    with pytest.raises(StartupError, match=rf"Port {port} on 127.0.0.1 is taken .* --port") as refused:
        Stack(Home(tmp_path / "other"), port=port).start()
    assert refused.value.code == "port_taken"


def test_secrets_are_for_their_owner_only(up: Up) -> None:
    for name in ("secret_key", "run.json", "valkey/password", "valkey/valkey.conf", "postgres/password"):
        assert up.home.path(name).stat().st_mode & 0o077 == 0, name
    command_lines = [(Path("/proc") / pid / "cmdline").read_bytes() for pid, _mark in up.running.processes.values()]
    assert not any(up.home.path("valkey/password").read_bytes() in line for line in command_lines)


def test_killed_itself_it_leaves_nothing_and_starts_again_and_ctrl_c_ends_it(up: Up) -> None:
    running, key, postmaster = up.running, up.home.secret_key(create=False), up.pid("postgres")
    up.process.kill()
    os.kill(postmaster, signal.SIGKILL)
    up.process.wait()
    until(lambda: up.gone(running))
    # another program has got the killed postmaster's process id meanwhile
    lock = up.home.path("postgres", "data", "postmaster.pid")
    lines = lock.read_text().splitlines()
    with subprocess.Popen(["sleep", "60"], user=lock.owner()) as other:
        lock.write_text("\n".join([str(other.pid), *lines[1:], ""]))
        up.start()
        up.wait()
        other.kill()
    assert up.home.secret_key(create=False) == key
    running = up.running
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(120) == 0
    assert up.gone(running)
    assert not up.home.path("run.json").exists()
    assert not up.home.path("postgres", "data", "postmaster.pid").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="the tests run as an ordinary user anyway")
def test_it_runs_as_an_ordinary_user(scratch: Path) -> None:
    account = pwd.getpwnam("nobody")
    directory = scratch / "ordinary"
    directory.mkdir()
    os.chown(directory, account.pw_uid, account.pw_gid)
    # the one capability left lets him read the interpreter, wherever the tests' environment is
    keep = ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]
    drop = [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
    up = Up(Home(directory / "home"), ("setpriv", *drop, *keep, "--"))
    up.start()
    try:
        up.wait()
        assert up.ready()
        running = up.running
        assert {Path(f"/proc/{pid}").owner() for pid, _mark in running.processes.values()} == {"nobody"}
    finally:
        up.process.send_signal(signal.SIGTERM)
        assert up.process.wait(120) == 0
    assert up.gone(running)


def test_a_database_of_ones_own_is_used_instead(environment: dict[str, str], tmp_path: Path) -> None:
    with servers.environment({}):
        del os.environ["HOMING_REDIS_URL"]
        servers.use({})
        with Stack(Home(tmp_path / "home"), port=0, workers=1, quiet=True) as stack:
            assert set(stack.supervisor.pids()) == {"valkey", "api", "worker-1", "scheduler"}
            assert settings().database_url == environment["HOMING_DATABASE_URL"]
        assert "HOMING_REDIS_URL" not in os.environ
    assert stack.supervisor.pids() == {}
    assert not (tmp_path / "home" / "postgres").exists()
