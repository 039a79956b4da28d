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

LONGEST = timedelta(days=36_525)

_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Duration:
    """A fixed length of time, and how the rule wrote it."""

    text: str
    length: timedelta

    @property
    def number(self) -> int:
        """`14d` → 14."""
        return int(self.text[:-1])

    @property
    def unit(self) -> str:
        """`14d` → `d`; one of `m h d w`."""
        return self.text[-1]


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
    try:
        at = read_instant(text, zone)
        return None if at is None else Moment(text, _EPOCH.replace(tzinfo=UTC) + at * _MICROSECOND)
    except OverflowError:  # the last day of the year 9999, west of Greenwich
        return None


def is_exact(text: str) -> bool:
    """Whether a text is an instant, with an offset; not a date, nor local time."""
    return _INSTANT.fullmatch(text) is not None


def as_text(at: datetime) -> str:
    """An instant as RFC 3339 in UTC: `2024-05-31T09:00:00Z`."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def is_day(text: str) -> bool:
    """Whether a text is a date that exists, with or without a time."""
    return read_instant(text, UTC) is not None


def read_instant(text: str, zone: tzinfo) -> int | None:
    """Microseconds from 1970 to a date or an instant, even one that is beyond Python's calendar in UTC."""
    exact = is_exact(text)
    if not exact and _LOCAL.fullmatch(text) is None:
        return None
    try:
        read = datetime.fromisoformat(text)
    except ValueError:  # 30 February
        return None
    if exact:
        offset = read.utcoffset()
    else:  # in a gap or a repeated hour the later instant, as PostgreSQL's AT TIME ZONE chooses
        offset = min(zone.utcoffset(read.replace(fold=fold)) or timedelta(0) for fold in (0, 1))
    return (read.replace(tzinfo=None) - _EPOCH - (offset or timedelta(0))) // _MICROSECOND
