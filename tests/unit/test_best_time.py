"""The hour in which a customer mostly comes, judged from the hours in which he came."""

from datetime import UTC, datetime, timedelta

import pytest

from push_server.delivery.best_time import CLICK, ENOUGH, _local_hour, judge

DAY = datetime(2026, 5, 1)


def came(*hours: int, weight: float = 1.0) -> dict[datetime, float]:
    """Each on a day of its own."""
    return {DAY + timedelta(days=day, hours=hour): weight for day, hour in enumerate(hours)}


def test_each_has_his_own_hour() -> None:
    found = judge({1: came(*[8] * 6), 2: came(*[22] * 6)})
    assert found.own == {1: 8, 2: 22}


def test_of_whom_too_little_is_known_nothing_is_told_but_what_all_do() -> None:
    found = judge({1: came(*[8] * (ENOUGH - 1)), 2: came(*[20] * 9)})
    assert (found.own, found.common) == ({2: 20}, 20)
    assert judge({1: came(8, 8)}).common is None
    assert judge({}).common is None


def test_clicks_weigh_more_than_visits() -> None:
    evening = {at + timedelta(days=10): weight for at, weight in came(20, 20, weight=CLICK).items()}
    assert judge({1: {**came(9, 9, 9, 9), **evening}}).own == {1: 20}
    visits = {at + timedelta(days=10): 1.0 for at in came(20, 20)}
    assert judge({1: {**came(9, 9, 9, 9), **visits}}).own == {1: 9}


@pytest.mark.parametrize(("hours", "best"), [((7, 8, 8, 9, 15, 15), 8), ((23, 0, 1, 0, 12, 12), 0)])
def test_neighbouring_hours_are_one_habit_also_over_midnight(hours: tuple[int, ...], best: int) -> None:
    assert judge({1: came(*hours)}).own == {1: best}


def test_what_he_leaves_open_all_others_decide() -> None:
    undecided = came(6, 12, 18, 6, 12, 18)
    assert judge({1: undecided, 2: came(*[18] * 8)}).own[1] == 18
    assert judge({1: undecided, 2: came(*[6] * 8)}).own[1] == 6


@pytest.mark.parametrize(
    ("at", "zone", "hour"),
    [
        ("2026-03-29T00:50", "Europe/Budapest", 1),
        ("2026-03-29T01:10", "Europe/Budapest", 3),
        ("2026-05-01T03:20", "Asia/Kolkata", 8),
        ("2026-05-01T03:30", "Asia/Kolkata", 9),
        ("2026-05-01T03:20", "Asia/Kathmandu", 9),
    ],
)
def test_hours_are_by_his_own_clock(at: str, zone: str, hour: int) -> None:
    quarter = int(datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp()) // 900
    assert _local_hour(quarter, zone).hour == hour
