"""When a campaign starts: the document's `schedule`, and the instants that it means."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from push_server import clock
from push_server.campaigns import recurrence
from push_server.errors import Fault
from push_server.fields import Body, TimeOfDay

WITH_EXPERIMENT: Final = "cannot stand beside `experiment`, whose winner goes out to all at once; leave one of them out"
GRACE: Final = timedelta(seconds=60)
"""How late `at` may be: as far as the caller's clock may be behind ours, and a request be under way."""

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)")


def _instant(text: str) -> str:
    try:
        if not _RFC3339.fullmatch(text):
            raise ValueError(text)
        at = datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise PydanticCustomError(
            "instant", "must be an RFC 3339 time with its zone, such as 2026-11-27T09:00:00+01:00"
        ) from None
    if not 1970 <= at.year < 2200:
        raise PydanticCustomError("out_of_range", "must be from 1970 to 2199")
    return clock.rfc3339(at.replace(microsecond=0))  # as the occurrences of rules, which come at whole seconds


def _rule(text: str) -> str:
    try:
        return recurrence.check(text)
    except ValueError as error:
        raise PydanticCustomError("rrule", "{why}", {"why": str(error)}) from None


class Schedule(Body):
    """When it starts: at an instant, by a rule of RFC 5545 in the site's time zone, or both (the rule from then on)."""

    at: Annotated[str, StringConstraints(strict=True), AfterValidator(_instant)] | None = Field(
        default=None, description="RFC 3339 with zone; told in UTC", examples=["2030-11-29T09:00:00+01:00"]
    )
    local_time: TimeOfDay | None = Field(
        default=None, description="each customer gets it at the first such time of his zone from the start on"
    )
    best_time: bool | None = Field(
        default=None, description="each customer gets it in the first hour from the start on in which he mostly comes"
    )
    rrule: Annotated[str, StringConstraints(strict=True, max_length=500), AfterValidator(_rule)] | None = Field(
        default=None,
        description="without DTSTART, which is `at`; DAILY, WEEKLY, MONTHLY or YEARLY",
        examples=["FREQ=WEEKLY;BYDAY=MO;BYHOUR=9;BYMINUTE=0"],
    )

    def faults(self, root: str, now: datetime) -> list[Fault]:
        """What the shape alone does not tell, each with its path from `root`."""
        if self.at is None and self.rrule is None and self.local_time is None and not self.best_time:
            return [Fault(root, "needs `at`, `rrule`, `local_time` or `best_time`", "empty_schedule")]
        if self.at is not None and _read(self.at) < now - GRACE:
            return [Fault(f"{root}.at", f"lies in the past: it is {clock.rfc3339(now)} now", "in_past")]
        if self.at is None and self.rrule is not None and not recurrence.has_time(self.rrule):
            return [Fault(f"{root}.rrule", "says no time of day: add BYHOUR, or give `at`", "no_time")]
        return []

    def experiment_faults(self, root: str) -> list[Fault]:
        """What keeps it from being the schedule of a campaign with an experiment."""
        own = {"local_time": self.local_time is not None, "best_time": bool(self.best_time)}
        return [Fault(f"{root}.{name}", WITH_EXPERIMENT, "with_experiment") for name, given in own.items() if given]

    def anchored(self, zone: ZoneInfo, now: datetime) -> dict[str, Any] | None:
        """As it is stored once it is in force: `at` is the first start. None where the rule has no start to come."""
        stored = self.model_dump(exclude_none=True)
        if self.rrule is None:
            return {"at": clock.rfc3339(now.replace(microsecond=0)), **stored}
        today = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
        start = _read(self.at) if self.at is not None else today
        after = start - timedelta(microseconds=1) if self.at is not None else now
        first = next(recurrence.occurrences(self.rrule, start, zone, after), None)
        return None if first is None else {**stored, "at": clock.rfc3339(first)}


def first_start(schedule: Mapping[str, str]) -> datetime:
    """The first start of a schedule in force."""
    return _read(schedule["at"])


def next_start(schedule: Mapping[str, str], zone: ZoneInfo, after: datetime) -> datetime | None:
    """The first start later than `after`; None after the last."""
    if "rrule" not in schedule:
        return None
    return next(recurrence.occurrences(schedule["rrule"], first_start(schedule), zone, after), None)


def latest_start(schedule: Mapping[str, str], zone: ZoneInfo, due: datetime, now: datetime) -> datetime:
    """Of the starts from `due` to now, the last: what was missed meanwhile is made up for once."""
    if "rrule" not in schedule:
        return due
    following = recurrence.occurrences(schedule["rrule"], first_start(schedule), zone, due)
    return max(takewhile(lambda start: start <= now, following), default=due)


def _read(text: str) -> datetime:
    return datetime.fromisoformat(text)
