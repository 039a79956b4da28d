"""Local times, quiet hours and the places of a throttled campaign, by themselves."""

from collections import Counter
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from push_server.delivery.local import QuietHours, first_at
from push_server.delivery.slots import Slots

BUDAPEST, NEW_YORK, KOLKATA = "Europe/Budapest", "America/New_York", "Asia/Kolkata"
ZONES = st.sampled_from([BUDAPEST, NEW_YORK, KOLKATA, "Pacific/Kiritimati", "Australia/Lord_Howe", "UTC"])
TIMES = st.builds(time, st.integers(0, 23), st.integers(0, 59))
INSTANTS = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("start", "zone", "when", "instant"),
    [
        ("2026-01-10T07:59", BUDAPEST, "09:00", "2026-01-10T08:00"),
        ("2026-01-10T08:00", BUDAPEST, "09:00", "2026-01-10T08:00"),
        ("2026-01-10T08:01", BUDAPEST, "09:00", "2026-01-11T08:00"),
        ("2026-01-10T12:00", KOLKATA, "09:00", "2026-01-11T03:30"),
        ("2026-03-28T12:00", BUDAPEST, "09:00", "2026-03-29T07:00"),  # an hour earlier than on the day before
        ("2026-10-24T12:00", BUDAPEST, "09:00", "2026-10-25T08:00"),
        ("2026-03-29T00:30", BUDAPEST, "02:30", "2026-03-29T01:30"),  # there is no 02:30: it is 03:30 by then
        ("2026-10-25T00:00", BUDAPEST, "02:30", "2026-10-25T00:30"),  # the first of two
        ("2026-10-25T00:31", BUDAPEST, "02:30", "2026-10-26T01:30"),  # not the second
        ("2026-11-01T04:00", NEW_YORK, "01:30", "2026-11-01T05:30"),
    ],
)
def test_a_time_of_day_comes_in_a_zone(start: str, zone: str, when: str, instant: str) -> None:
    assert first_at(time.fromisoformat(when), utc(start), zone) == utc(instant)


@given(TIMES, INSTANTS, ZONES)
def test_it_comes_within_a_day_and_is_that_time(when: time, start: datetime, zone: str) -> None:
    found = first_at(when, start, zone)
    assert start <= found <= start + timedelta(hours=26)
    here = found.astimezone(ZoneInfo(zone))
    assert here.time() == when or here.utcoffset() != (here - timedelta(hours=2)).utcoffset()


@pytest.mark.parametrize(
    ("at", "zone", "until"),
    [
        ("2026-01-10T19:59", BUDAPEST, None),
        ("2026-01-10T20:00", BUDAPEST, "2026-01-11T07:00"),
        ("2026-01-11T06:59", BUDAPEST, "2026-01-11T07:00"),
        ("2026-01-11T07:00", BUDAPEST, None),
        ("2026-01-10T20:00", KOLKATA, "2026-01-11T02:30"),
        ("2026-03-28T22:00", BUDAPEST, "2026-03-29T06:00"),  # the night that is an hour shorter
        ("2026-10-24T22:00", BUDAPEST, "2026-10-25T07:00"),
    ],
)
def test_quiet_hours_over_midnight(at: str, zone: str, until: str | None) -> None:
    assert QuietHours(time(21), time(8)).until(utc(at), zone) == (until and utc(until))


def test_quiet_hours_at_noon() -> None:
    siesta = QuietHours(time(13), time(15, 30))
    assert siesta.until(utc("2026-01-10T14:00"), "UTC") == utc("2026-01-10T15:30")
    assert siesta.until(utc("2026-01-10T15:30"), "UTC") is None
    assert siesta.until(utc("2026-01-10T12:59"), "UTC") is None


@given(TIMES, TIMES, INSTANTS, ZONES)
def test_when_they_end_it_is_not_quiet(begin: time, end: time, at: datetime, zone: str) -> None:
    hours = QuietHours(begin, end)
    if begin != end and (until := hours.until(at, zone)) is not None:
        assert at < until <= at + timedelta(hours=26)
        assert hours.until(until, zone) is None


@given(
    st.integers(1, 5000),
    st.lists(st.tuples(st.sampled_from([0, 0, 3_600, 5_400, 36_000]), st.integers(0, 90)), min_size=1, max_size=300),
    st.integers(0, 299),
)
def test_no_minute_holds_more_than_it_may(per_minute: int, asked: list[tuple[int, int]], dies_after: int) -> None:
    """Three zones and a planner that goes on from page to page, one of which begins from what is stored."""
    start, slots, taken = utc("2026-03-29T00:00"), Slots(per_minute, []), list[datetime]()
    for number, (zone, late) in enumerate(asked):
        if number == dies_after:
            slots = Slots(per_minute, slots.runs)
        earliest = start + timedelta(seconds=zone + late)
        taken.append(slots.take(earliest))
        assert taken[-1] >= earliest - timedelta(milliseconds=1)
    assert len(set(taken)) == len(taken)
    taken.sort()
    for first, beyond in zip(taken, taken[per_minute:], strict=False):
        assert beyond - first > timedelta(seconds=59.99)
    assert slots.runs == sorted(slots.runs)
    assert all(before[1] < after[0] for before, after in zip(slots.runs, slots.runs[1:], strict=False))


@given(
    st.integers(1, 40),
    st.lists(st.sampled_from([BUDAPEST, NEW_YORK, KOLKATA]), min_size=1, max_size=120),
    INSTANTS,
    TIMES,
)
def test_local_times_of_three_zones_share_the_pace(
    per_minute: int, zones: list[str], start: datetime, when: time
) -> None:
    slots, taken = Slots(per_minute, []), []
    for zone in zones:
        wanted = first_at(when, start, zone)
        taken.append(slots.take(wanted))
        behind = sum(first_at(when, start, other) <= wanted for other in zones)
        assert taken[-1] - wanted <= timedelta(seconds=(behind + len(zones)) * 60 / per_minute), "nobody waits in vain"
    minutes = Counter(at.replace(second=0, microsecond=0) for at in taken)
    assert max(minutes.values()) <= per_minute


def test_places_follow_one_another_without_a_gap() -> None:
    slots, start = Slots(60, []), utc("2026-01-10T09:00")
    assert [slots.take(start) for _ in range(3)] == [start + timedelta(seconds=number) for number in range(3)]
    assert slots.take(start + timedelta(seconds=9)) == start + timedelta(seconds=9)
    for _ in range(6):
        slots.take(start)
    assert slots.take(start) == start + timedelta(seconds=10)
    assert len(slots.runs) == 1
