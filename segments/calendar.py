"""Local dates at an instant, for anniversaries: which dates of birth celebrate soon, zone by zone."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones


@dataclass(frozen=True, slots=True)
class Near:
    """Months and days (`02-29`) that celebrate soon: where it is the site's date, and where it is another one."""

    days: list[str]
    other_dates: list[tuple[list[str], list[str]]]  # zones, days

    @property
    def anywhere(self) -> list[str]:
        """The days that celebrate soon in some zone."""
        return sorted({*self.days, *(day for _zones, days in self.other_dates for day in days)})


def anniversaries(at: datetime, days: int, zone: str) -> Near:
    """The anniversaries from each zone's today through so many days; whoever has no zone lives in the site's."""
    here = at.astimezone(ZoneInfo(zone)).date()
    elsewhere: dict[date, list[str]] = {}
    for name, each in zones().items():
        today = at.astimezone(each).date()
        if today != here:
            elsewhere.setdefault(today, []).append(name)
    others = [(names, sorted(celebrating(day, days))) for day, names in elsewhere.items()]
    return Near(sorted(celebrating(here, days)), others)


@lru_cache(maxsize=1024)
def celebrating(today: date, days: int) -> frozenset[str]:
    """From today through so many days; someone of 29 February celebrates on 28 February in other years."""
    found = set()
    for ahead in range(min(days, 366) + 1):
        day = today + timedelta(days=ahead)
        found.add(f"{day:%m-%d}")
        if f"{day:%m-%d}" == "02-28" and (day + timedelta(days=1)).day == 1:
            found.add("02-29")
    return frozenset(found)


@lru_cache
def zones() -> dict[str, ZoneInfo]:
    """Every time zone by its name."""
    return {name: ZoneInfo(name) for name in sorted(available_timezones())}
