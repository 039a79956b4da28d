"""Instants, stretches of time and their steps, as the paths about segments take them.

A date without a time is its midnight where the shop is, as in rules. A step of days or weeks keeps to the shop's
calendar, so that a day is 23 or 25 hours long where the clocks are changed. Minutes and hours are of fixed length.
"""

from datetime import UTC, datetime, timedelta
from itertools import count, takewhile
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import Field

from push_server import clock
from push_server.db import SiteSession
from push_server.errors import Fault, Invalid
from push_server.sites.models import Site
from segments.moments import LONGEST, read_duration, read_moment

When = Annotated[
    str,
    Field(
        description="RFC 3339, from 1970 to 2199; a date alone is its midnight in the site's zone",
        examples=["2024-05-31T09:00:00Z"],
    ),
]
_MONTH = timedelta(days=30)
_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def zone_of(session: SiteSession) -> ZoneInfo:
    """The zone of the session's site."""
    return ZoneInfo(session.get_one(Site, session.site_id).time_zone)


def instant(text: str, path: str, zone: ZoneInfo) -> datetime:
    """The instant that a request names at `path` (`$.at`, `query:as_of`); 422 when it is none."""
    moment = read_moment(text, zone)
    if moment is None or not _EARLIEST <= moment.at < _LATEST:
        raise Invalid(
            f"`{_name(path)}` must be an instant such as 2024-05-31T09:00:00Z, or a date, from 1970 to 2199."
            " In a query, write the + of an offset as %2B.",
            faults=[Fault(path, "must be an RFC 3339 instant or a date from 1970 to 2199", "bad_date")],
        )
    return moment.at


def past(text: str, path: str, zone: ZoneInfo) -> datetime:
    """The same, not later than now."""
    at = instant(text, path, zone)
    if at > clock.now():
        raise Invalid(
            f"`{_name(path)}` lies in the future, where nothing has happened yet: choose an instant up to now.",
            faults=[Fault(path, "must not be later than now", "in_future")],
        )
    return at


def stretch(start: str | None, end: str | None, root: str, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The instants `from` and `to` of a request, both past and in this order.

    Unless given, `to` is now, and `from` the beginning of the day that is 30 days before it.
    """
    last = clock.now() if end is None else past(end, f"{root}to", zone)
    first = midnight(last - _MONTH, zone) if start is None else past(start, f"{root}from", zone)
    if first > last:
        raise Invalid(
            "`from` is later than `to`: exchange them.",
            faults=[Fault(f"{root}from", "must not be later than `to`", "bad_range")],
        )
    return first, last


def midnight(at: datetime, zone: ZoneInfo) -> datetime:
    """The beginning of the day in the zone."""
    return at.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0).astimezone(UTC)


def steps(start: datetime, end: datetime, step: str, path: str, zone: ZoneInfo, most: int) -> list[datetime]:
    """`start` and every step after it up to `end`; 422 when there are more than `most` or the step is no duration."""
    duration = read_duration(step)
    if duration is None or duration.length > LONGEST:
        raise Invalid(
            "The step must be a length of time, such as 1h, 1d or 1w.",
            faults=[Fault(path, "must be a whole number above 0 with m, h, d or w", "bad_duration")],
        )
    by_calendar = duration.text[-1] in "dw"
    local = start.astimezone(zone).replace(tzinfo=None)

    def point(number: int) -> datetime:
        if by_calendar and number:
            there = local + number * duration.length
            # a time that the change of clocks leaves out or repeats is the later one, as in rules
            return max(there.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
        return start + number * duration.length

    found = []
    for at in takewhile(lambda at: at <= end, map(point, count())):
        found.append(at)
        if len(found) > most:
            raise Invalid(
                f"There are more than {most} steps: take a longer step or a shorter time.",
                faults=[Fault(path, f"must make at most {most} steps", "too_many")],
            )
    return found


def _name(path: str) -> str:
    return path.rsplit(".", 1)[-1].rsplit(":", 1)[-1]
