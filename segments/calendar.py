"""Local dates at an instant, for anniversaries: which dates of birth celebrate soon, zone by zone."""

from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

_FEBRUARY_28, _FEBRUARY_29 = 228, 229


def anniversaries(at: datetime, days: int, zone: str) -> tuple[list[tuple[list[str], list[int]]], list[int]]:
    """The months and days (month * 100 + day) whose anniversary lies within so many days of the local today.

    Returns a list of (zones, months and days), one entry for each local date that some zone has at the instant, and
    the months and days for whoever has none of those zones: those of the site's `zone`.
    """
    by_date: dict[date, list[str]] = {}
    for name, each in _zones().items():
        by_date.setdefault(at.astimezone(each).date(), []).append(name)
    own = [(names, _celebrating(today, days)) for today, names in by_date.items()]
    return own, _celebrating(at.astimezone(ZoneInfo(zone)).date(), days)


def _celebrating(today: date, days: int) -> list[int]:
    """From today through so many days; someone of 29 February celebrates on 28 February in other years."""
    found = set()
    for ahead in range(min(days, 366) + 1):
        day = today + timedelta(days=ahead)
        found.add(day.month * 100 + day.day)
        if day.month * 100 + day.day == _FEBRUARY_28 and (day + timedelta(days=1)).day == 1:
            found.add(_FEBRUARY_29)
    return sorted(found)


@lru_cache
def _zones() -> dict[str, ZoneInfo]:
    return {name: ZoneInfo(name) for name in sorted(available_timezones())}
