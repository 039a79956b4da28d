"""Durations, dates and instants as rules and customers' data write them.

A date is `2024-05-31`; an instant is RFC 3339 (`2024-05-31T09:00:00Z`, `…+02:00`, seconds and fraction optional); an
instant without an offset is local time in the site's zone, and a date without a time its midnight there. Years run
from 1000 to 9999. The patterns are written so that Python's `re` and PostgreSQL read them alike.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

DATE = r"[1-9][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
TIME = r"[T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,9})?)?"
OFFSET = r"(Z|[+-](0[0-9]|1[0-5]):[0-5][0-9])"
LOCAL_PATTERN = f"^{DATE}({TIME})?$"
INSTANT_PATTERN = f"^{DATE}{TIME}{OFFSET}$"

_LOCAL = re.compile(f"{DATE}({TIME})?", re.ASCII)
_INSTANT = re.compile(f"{DATE}{TIME}{OFFSET}", re.ASCII)
_DURATION = re.compile(r"([1-9][0-9]{0,8})([mhdw])", re.ASCII)
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_WORDS = {"m": "minute", "h": "hour", "d": "day", "w": "week"}

LONGEST = timedelta(days=36_525)


@dataclass(frozen=True, slots=True)
class Duration:
    """A fixed length of time, and how the rule wrote it."""

    text: str
    length: timedelta

    @property
    def words(self) -> str:
        """`14d` → `14 days`."""
        number, unit = self.text[:-1], _WORDS[self.text[-1]]
        return f"{number} {unit}" if number == "1" else f"{number} {unit}s"


@dataclass(frozen=True, slots=True)
class Moment:
    """An instant, and how the rule wrote it."""

    text: str
    at: datetime


def read_duration(text: str) -> Duration | None:
    """`30m`, `24h`, `14d`, `8w`; None for anything else. The caller bounds the length by LONGEST."""
    match = _DURATION.fullmatch(text)
    return Duration(text, int(match[1]) * _UNITS[match[2]]) if match else None


def read_moment(text: str, zone: tzinfo) -> Moment | None:
    """A date or an instant in UTC; None for anything else."""
    instant = _INSTANT.fullmatch(text) is not None
    if not instant and _LOCAL.fullmatch(text) is None:
        return None
    try:
        read = datetime.fromisoformat(text)
        return Moment(text, read.astimezone(UTC) if instant else _at_zone(read, zone))
    except (ValueError, OverflowError):  # 30 February
        return None


def _at_zone(local: datetime, zone: tzinfo) -> datetime:
    """A local time's instant, in a gap or a repeated hour the later one, as PostgreSQL's AT TIME ZONE chooses."""
    return max(local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
