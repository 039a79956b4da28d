"""The sandbox push service's memory: one JSON document a line, written before anything is answered.

A process that is killed loses what it had not written, and had not answered for; a last line cut short by that is
passed over when reading and ended when appending goes on.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Journal:
    """An append-only file; each `append` is one write, so that a reader sees whole lines."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        torn = path.exists() and not path.read_bytes().endswith(b"\n") and path.stat().st_size > 0
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        if torn:
            os.write(self._file, b"\n")

    def append(self, *entries: dict[str, Any]) -> None:
        """Write the entries; the kernel has them when this returns, so a kill of the process loses none."""
        data = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries).encode()
        while data:
            data = data[os.write(self._file, data) :]


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The entries so far, oldest first."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                continue  # cut short by a kill: it was never answered
