"""How an embedded server is described to whoever starts it: a command line, a user, a readiness check."""

import os
import pwd
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
    """A TCP port of 127.0.0.1 that nobody holds right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


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
