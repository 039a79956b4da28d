"""Recurrence rules (RFC 5545 §3.3.10) by the wall clock of a shop: 09:00 stays 09:00 when the clocks are changed.

A time of day that a change leaves out is moved on by as much as the clocks are; one that there is twice counts once,
the first time (RFC 5545 §3.3.5).
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from dateutil.rrule import rrulestr

MAX_INTERVAL: Final = 1000
MAX_COUNT: Final = 10_000
"""Of a rule that is asked for its next occurrence, all before it are counted."""

_DAYS_OF_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_FREQUENCIES = ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")
_ONE_ONLY = ("BYMINUTE", "BYSECOND")
_ONLY_WITH = {  # RFC 5545, the table in §3.3.10; BYSETPOS of a day's hours has no use
    "BYWEEKNO": ("YEARLY",),
    "BYYEARDAY": ("YEARLY",),
    "BYMONTHDAY": ("DAILY", "MONTHLY", "YEARLY"),
    "BYSETPOS": ("MONTHLY", "YEARLY"),
}


def _numbers(least: int, most: int, *, negative: bool = False) -> Callable[[str], bool]:
    def fits(text: str) -> bool:
        parts = [part.removeprefix("-") if negative else part for part in text.split(",")]
        return all(part.isascii() and part.isdigit() and least <= int(part[:9]) <= most for part in parts)

    return fits


def _weekdays(text: str) -> bool:
    ordinals = [day[:-2].lstrip("+-") for day in text.split(",")]
    return all(day[-2:] in ("MO", "TU", "WE", "TH", "FR", "SA", "SU") for day in text.split(",")) and all(
        not ordinal or (ordinal.isascii() and ordinal.isdigit() and 1 <= int(ordinal[:9]) <= 53) for ordinal in ordinals
    )


_PARTS: dict[str, Callable[[str], bool]] = {
    "FREQ": lambda text: text in _FREQUENCIES,
    "UNTIL": lambda text: _until(text, ZoneInfo("UTC")) is not None,
    "COUNT": lambda text: "," not in text and _numbers(1, MAX_COUNT)(text),
    "INTERVAL": lambda text: "," not in text and _numbers(1, MAX_INTERVAL)(text),
    "BYSECOND": _numbers(0, 59),
    "BYMINUTE": _numbers(0, 59),
    "BYHOUR": _numbers(0, 23),
    "BYDAY": _weekdays,
    "BYMONTHDAY": _numbers(1, 31, negative=True),
    "BYYEARDAY": _numbers(1, 366, negative=True),
    "BYWEEKNO": _numbers(1, 53, negative=True),
    "BYMONTH": _numbers(1, 12),
    "BYSETPOS": _numbers(1, 366, negative=True),
    "WKST": lambda text: "," not in text and text.isalpha() and _weekdays(text),
}


def check(text: str) -> str:
    """The rule in capitals and without `RRULE:`. ValueError, with what is wrong, unless it can be followed.

    Occurrences are an hour apart at least: DAILY is the shortest frequency, and of minutes and seconds there is one.
    """
    text = text.upper().removeprefix("RRULE:")
    parts = _read(text)
    for name, value in parts.items():
        if name not in _PARTS:
            raise ValueError(f"{name or 'an empty part'} is no part of a rule that is known here")
        if name != "FREQ" and not _PARTS[name](value):
            raise ValueError(f"{name}={value} is not within its limits")
    if parts.get("FREQ") not in _FREQUENCIES:
        raise ValueError(f"FREQ must be one of {', '.join(_FREQUENCIES)}; BYHOUR=9,17 is several times a day")
    if "COUNT" in parts and "UNTIL" in parts:
        raise ValueError("COUNT and UNTIL exclude each other")
    if several := [name for name in _ONE_ONLY if "," in parts.get(name, "")]:
        raise ValueError(f"{several[0]} takes one number: occurrences are an hour apart at least")
    _check_combination(parts)
    return text


def _check_combination(parts: dict[str, str]) -> None:
    for name, frequencies in _ONLY_WITH.items():
        if name in parts and parts["FREQ"] not in frequencies:
            raise ValueError(f"{name} goes with FREQ={' or '.join(frequencies)} only")
    nth = max(int(day[:-2].lstrip("+-") or 0) for day in parts.get("BYDAY", "MO").split(","))
    if nth and (parts["FREQ"] not in ("MONTHLY", "YEARLY") or "BYWEEKNO" in parts):
        raise ValueError("BYDAY with a number, such as 1MO, goes with FREQ=MONTHLY or YEARLY only, without BYWEEKNO")
    if nth > 5 and (parts["FREQ"] == "MONTHLY" or "BYMONTH" in parts):
        raise ValueError("BYDAY counts the weeks of a month here, of which there are five at most")
    if "BYMONTH" in parts and "BYMONTHDAY" in parts:
        longest = max(_DAYS_OF_MONTH[int(month) - 1] for month in parts["BYMONTH"].split(","))
        if all(abs(int(day)) > longest for day in parts["BYMONTHDAY"].split(",")):
            raise ValueError("BYMONTH and BYMONTHDAY name no day that there is")


def has_time(rule: str) -> bool:
    """Whether the rule itself says at what time of day."""
    return "BYHOUR" in _read(rule)


def occurrences(rule: str, start: datetime, zone: ZoneInfo, after: datetime) -> Iterator[datetime]:
    """The occurrences later than `after`, in UTC, in their order.

    `start` is the rule's DTSTART: nothing is before it, and it gives what the rule leaves open, such as the hour.
    """
    # The wall clock stands still or goes back at changes, so it is compared as instants; no change is of a day.
    found = _dateutil(rule, _wall(start, zone), zone)
    for moment in found.xafter(_wall(after, zone) - timedelta(days=1), inc=True):
        occurrence = moment.replace(tzinfo=zone).astimezone(UTC)
        if occurrence > after:
            yield occurrence
            after = occurrence


def _read(text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(";")]
    names = [name for name, _, _ in pairs]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"{twice[0] or 'an empty part'} stands there twice")
    return {name: value for name, _, value in pairs}


def _dateutil(rule: str, wall: datetime, zone: ZoneInfo) -> Any:  # dateutil has no types
    parts = _read(rule)
    if "UNTIL" in parts:
        parts["UNTIL"] = f"{_until(parts['UNTIL'], zone):%Y%m%dT%H%M%S}"
    return rrulestr(";".join(f"{name}={value}" for name, value in parts.items()), dtstart=wall)


def _until(text: str, zone: ZoneInfo) -> datetime | None:
    """By the wall clock; a date alone includes its day. None for what is neither a date nor a time."""
    for form in ("%Y%m%d", "%Y%m%dT%H%M%S", "%Y%m%dT%H%M%SZ"):
        try:
            found = datetime.strptime(text, form)
        except ValueError:
            continue
        if form.endswith("Z"):
            return _wall(found.replace(tzinfo=UTC), zone)
        return found if "T" in form else datetime.combine(found, time(23, 59, 59))
    return None


def _wall(instant: datetime, zone: ZoneInfo) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None, microsecond=0)
