"""How an embedded server is described to whoever starts it: a command line, a user, a readiness check."""

import errno
import os
import pwd
import random
import shutil
import socket
from dataclasses import dataclass, field
from pathlib import Path

from push_server.errors import StartupError

UNPRIVILEGED = "nobody"


@dataclass(slots=True)
class Command:
    """What to exec: `user` is None to stay who we are."""

    argv: list[str]
    user: str | None = None
    env: dict[str, str] = field(default_factory=dict)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody holds right now, below the range that outgoing connections draw from: a
    server that is down for a second must find its port free when it comes back.
    """
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. StartupError when the port is taken or the address is not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise StartupError(
                f"Port {port} on {host} is taken by another program. Choose another one with --port.", code="port_taken"
            ) from None
        raise StartupError(
            f"Cannot listen on {host} port {port}: {error.strerror or error}. Choose others with --host and --port.",
            code="cannot_listen",
        ) from None
    return listener


def unprivileged(argv: list[str], *paths: Path) -> Command:
    """`argv` as an ordinary user. Root becomes `nobody`, who may not be able to reach `paths` through directories
    closed to others (/root, a mode-700 temporary directory); then setpriv leaves him the one capability for that.
    """
    if os.geteuid() != 0:
        return Command(argv)
    if all(_open_to_others(path) for path in (Path(argv[0]), *paths)):
        return Command(argv, user=UNPRIVILEGED)
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise StartupError(
            f"PostgreSQL does not run as root, and {UNPRIVILEGED} cannot reach {paths[-1]}. Set HOMING_HOME to a "
            "directory below /var/lib, or run as an ordinary user.",
            code="home_unreachable",
        )
    account = pwd.getpwnam(UNPRIVILEGED)
    drop = [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
    keep = ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]
    return Command([setpriv, *drop, *keep, "--", *argv])


def _open_to_others(path: Path) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents)
