"""`python -m tests.faults.clocked FILE COMMAND…`: `homing COMMAND…` by the clock in FILE, which a test moves."""

import mmap
import struct
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from push_server import clock
from push_server.cli import main


class Clock:
    """The system's clock, so many seconds `ahead` (or behind, when negative), in every process that has the file."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), 8)

    @classmethod
    def create(cls, path: Path) -> "Clock":
        """A file with a clock that goes right."""
        path.write_bytes(bytes(8))
        return cls(path)

    @property
    def ahead(self) -> float:
        """Seconds."""
        (seconds,) = struct.unpack("d", self._shared[:8])
        return float(seconds)

    def jump(self, seconds: float) -> None:
        """Forwards, or back."""
        self._shared[:8] = struct.pack("d", self.ahead + seconds)

    def now(self) -> datetime:
        """As `push_server.clock.now` has it."""
        return datetime.now(UTC) + timedelta(seconds=self.ahead)


if __name__ == "__main__":
    clock.set_source(Clock(Path(sys.argv.pop(1))).now)
    main()
