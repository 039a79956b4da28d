"""The one source of time, so that tests can move it, and that hosts can agree on it."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


def _system() -> datetime:
    return datetime.now(UTC)


_source: Callable[[], datetime] = _system
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # goes on while the machine is suspended


def now() -> datetime:
    """The current instant, aware, in UTC."""
    return _source()


def set_source(source: Callable[[], datetime] | None) -> None:
    """Replace the clock; None puts the system's clock back."""
    global _source
    _source = source or _system


def is_systems() -> bool:
    """Whether time is this machine's."""
    return _source is _system


def steady() -> float:
    """Seconds by a clock that nobody sets."""
    return time.clock_gettime(_STEADY)


def count_from(instant: datetime, at: float) -> None:
    """From now on time is that of another clock, which showed `instant` when `steady()` was `at`."""
    set_source(lambda: instant + timedelta(seconds=steady() - at))


def rfc3339(instant: datetime) -> str:
    """`2026-01-31T09:00:00.123456Z`, the only form in which times leave the API."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
