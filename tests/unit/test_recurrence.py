"""Recurrence rules by the wall clock of a shop, right through changes of the clocks."""

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from push_server.campaigns.recurrence import check, occurrences

BUDAPEST = ZoneInfo("Europe/Budapest")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def told(rule: str, start: str, zone: ZoneInfo = BUDAPEST, number: int = 4, after: str | None = None) -> list[str]:
    """The occurrences from the start on, as that zone's wall clock shows them, with their offset."""
    since = at(after) if after else at(start) - timedelta(seconds=1)
    found = islice(occurrences(check(rule), at(start), zone, since), number)
    return [one.astimezone(zone).strftime("%a %d.%m. %H:%M %z") for one in found]


def test_nine_stays_nine_when_the_clocks_are_changed() -> None:
    assert told("FREQ=DAILY", "2026-03-28T09:00:00+01:00", number=3) == [
        "Sat 28.03. 09:00 +0100",
        "Sun 29.03. 09:00 +0200",
        "Mon 30.03. 09:00 +0200",
    ]
    assert told("FREQ=WEEKLY;BYDAY=SU", "2026-10-18T07:00:00Z", number=2) == [
        "Sun 18.10. 09:00 +0200",
        "Sun 25.10. 09:00 +0100",
    ]


def test_a_time_that_a_change_leaves_out_is_moved_on_and_one_there_is_twice_counts_once() -> None:
    rule = "FREQ=DAILY;BYHOUR=2,3;BYMINUTE=30"
    assert told(rule, "2026-03-29T00:00:00+01:00", number=2) == ["Sun 29.03. 03:30 +0200", "Mon 30.03. 02:30 +0200"]
    assert told(rule, "2026-10-25T00:00:00+02:00", number=3) == [
        "Sun 25.10. 02:30 +0200",
        "Sun 25.10. 03:30 +0100",
        "Mon 26.10. 02:30 +0100",
    ]


def test_the_forms_that_shops_use() -> None:
    start = "2026-01-07T10:00:00Z"  # a Wednesday, 11:00 at the shop
    assert told("FREQ=MONTHLY;BYDAY=-1FR", start, number=2) == ["Fri 30.01. 11:00 +0100", "Fri 27.02. 11:00 +0100"]
    assert told("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO", start, number=2) == [
        "Mon 19.01. 11:00 +0100",
        "Mon 02.02. 11:00 +0100",
    ]
    assert told("FREQ=MONTHLY;BYMONTHDAY=31", start, number=2) == ["Sat 31.01. 11:00 +0100", "Tue 31.03. 11:00 +0200"]
    assert told("FREQ=DAILY;COUNT=2", start, after="2026-01-08T09:00:00Z") == ["Thu 08.01. 11:00 +0100"]
    assert told("rrule:freq=daily;until=20260108", start) == ["Wed 07.01. 11:00 +0100", "Thu 08.01. 11:00 +0100"]
    assert told("FREQ=DAILY;UNTIL=20260108T095959Z", start) == ["Wed 07.01. 11:00 +0100"]
    assert told("FREQ=DAILY;UNTIL=20260108T110000", start)[1:] == ["Thu 08.01. 11:00 +0100"]


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("FREQ=MINUTELY", "FREQ must be one of"),
        ("FREQ=HOURLY;INTERVAL=6", "BYHOUR=9,17"),
        ("BYDAY=MO", "FREQ must be one of"),
        ("every monday", "is no part"),
        ("", "is no part"),
        ("FREQ=DAILY;", "is no part"),
        ("FREQ=DAILY;FREQ=WEEKLY", "twice"),
        ("FREQ=DAILY;BYEASTER=0", "is no part"),
        ("FREQ=DAILY;DTSTART=20260101T090000", "is no part"),
        ("FREQ=DAILY\nRRULE:FREQ=YEARLY", "FREQ must be one of"),
        ("FREQ=DAILY;BYMINUTE=0,1", "an hour apart"),
        ("FREQ=DAILY;BYSECOND=0,30", "an hour apart"),
        ("FREQ=DAILY;INTERVAL=0", "limits"),
        ("FREQ=DAILY;INTERVAL=1001", "limits"),
        ("FREQ=DAILY;INTERVAL=" + "9" * 400, "limits"),
        ("FREQ=DAILY;COUNT=0", "limits"),
        ("FREQ=DAILY;COUNT=3;UNTIL=20270101", "exclude each other"),
        ("FREQ=DAILY;UNTIL=soon", "limits"),
        ("FREQ=DAILY;UNTIL=20260231", "limits"),
        ("FREQ=DAILY;BYHOUR=24", "limits"),
        ("FREQ=WEEKLY;BYDAY=XX", "limits"),
        ("FREQ=WEEKLY;BYDAY=", "limits"),
        ("FREQ=WEEKLY;BYDAY=1MO", "BYDAY with a number"),
        ("FREQ=MONTHLY;BYDAY=54MO", "limits"),
        ("FREQ=MONTHLY;BYDAY=1MO,-6FR", "five at most"),
        ("FREQ=WEEKLY;BYMONTHDAY=1", "BYMONTHDAY goes with"),
        ("FREQ=YEARLY;BYMONTH=13", "limits"),
        ("FREQ=DAILY;BYMONTH=2,4;BYMONTHDAY=31", "no day that there is"),
        ("FREQ=DAILY;BYHOUR=²", "limits"),
    ],
)
def test_what_cannot_be_followed_is_refused(rule: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check(rule)


@given(
    st.sampled_from(["DAILY", "WEEKLY", "MONTHLY", "YEARLY"]),
    st.integers(1, 3),
    st.sets(st.integers(0, 23), min_size=1, max_size=4),
    st.sampled_from(["Europe/Budapest", "America/Sao_Paulo", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]),
    st.datetimes(datetime(2025, 1, 1), datetime(2027, 1, 1)),
)
def test_occurrences_come_in_order_and_are_an_hour_apart(
    frequency: str, interval: int, hours: set[int], zone: str, start: datetime
) -> None:
    rule = check(f"FREQ={frequency};INTERVAL={interval};BYHOUR={','.join(map(str, hours))}")
    begin = start.replace(tzinfo=UTC)
    found = list(islice(occurrences(rule, begin, ZoneInfo(zone), begin), 60))
    assert found
    # at Lord Howe Island clocks are changed by half an hour
    assert all(later - sooner >= timedelta(minutes=30) for sooner, later in pairwise(found))
    for sooner, later in pairwise(found[:5]):
        assert next(occurrences(rule, begin, ZoneInfo(zone), sooner)) == later
