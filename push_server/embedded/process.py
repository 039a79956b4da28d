"""How an embedded server is described to whoever starts it: a command line, a user, a readiness check."""

import errno
import os
import pwd
import random
import shutil
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from push_server.errors import StartupError

UNPRIVILEGED = "nobody"


@dataclass(slots=True)
class Command:
    """What to exec: `user` is None to stay who we are."""

    argv: list[str]
    user: str | None = None
    env: dict[str, str] = field(default_factory=dict)

    def popen(self, **options: Any) -> subprocess.Popen[bytes]:
        """Start it; `options` as of Popen. Changing the user drops root's groups too."""
        if self.user is not None:
            options |= {"user": self.user, "group": pwd.getpwnam(self.user).pw_gid, "extra_groups": []}
        return subprocess.Popen(self.argv, env=self.env or None, **options)


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


def command_line(pid: int) -> str:
    """A process's command line; empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except FileNotFoundError:
        if Path("/proc/self/cmdline").exists():
            return ""
    except OSError:
        return ""  # another user's
    found = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return found.stdout


def last_words(output: str, marks: tuple[str, ...]) -> str:
    """The last line of `output` that has one of the marks, else the last line at all."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    marked = [line for line in lines if any(mark in line for mark in marks)]
    return (marked or lines or ["it says nothing"])[-1][-400:]


def unprivileged(argv: list[str], *paths: Path) -> Command:
    """`argv` as an ordinary user. Root becomes `nobody`, who may not be able to reach `paths` through directories
    closed to others (/root, a mode-700 temporary directory); then setpriv leaves him the one capability for that.
    """
    if os.geteuid() != 0:
        return Command(argv)
    if all(open_to_others(path) for path in (Path(argv[0]), *paths)):
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
    # a change of user makes the kernel forget the parent-death signal, so setpriv sets it again
    return Command([setpriv, *drop, *keep, "--pdeathsig=INT", "--", *argv])


def open_to_others(path: Path) -> bool:
    """Whether everybody can come to it through the directories above it."""
    return all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents)
