"""The one source of time, so that tests can move it."""

from collections.abc import Callable
from datetime import UTC, datetime


def _system() -> datetime:
    return datetime.now(UTC)


_source: Callable[[], datetime] = _system


def now() -> datetime:
    """The current instant, aware, in UTC."""
    return _source()


def set_source(source: Callable[[], datetime] | None) -> None:
    """Replace the clock; None puts the system's clock back."""
    global _source
    _source = source or _system


def rfc3339(instant: datetime) -> str:
    """`2026-01-31T09:00:00.123456Z`, the only form in which times leave the API."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
