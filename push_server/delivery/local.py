"""Local times of customers: when a time of day comes in a zone, and until when its quiet hours last.

Where clocks go forward, a local time that does not exist is as much later as they went; where they go back, a time that
comes twice is its first coming (PEP 495).
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

_DAY = timedelta(days=1)


def first_at(when: time, start: datetime, zone: str) -> datetime:
    """The first instant from `start` on at which it is `when` in the zone."""
    day = start.astimezone(ZoneInfo(zone)).date() - _DAY  # a time that does not exist may lie beyond midnight
    while (at := _instant(day, when, zone)) < start:
        day += _DAY
    return at


@dataclass(frozen=True, slots=True)
class QuietHours:
    """Hours of each day in which a shop's customers hear nothing: from `begin` to `end`, mostly over midnight."""

    begin: time
    end: time

    def until(self, at: datetime, zone: str) -> datetime | None:
        """When the quiet hours that are in the zone at this instant end; None when there are none."""
        here = at.astimezone(ZoneInfo(zone)).date()
        for day in (here - _DAY, here):
            begin = _instant(day, self.begin, zone)
            end = _instant(day if self.begin < self.end else day + _DAY, self.end, zone)
            if begin <= at < end:
                return end
        return None


def _instant(day: date, when: time, zone: str) -> datetime:
    return datetime.combine(day, when, ZoneInfo(zone)).astimezone(UTC)
