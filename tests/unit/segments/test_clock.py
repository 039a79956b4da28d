"""A walk from one next change to the following one sees every truth that looking all the time would see."""

from bisect import bisect_right
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segments.memory import holds
from segments.testing import Case, case
from tests.unit.segments.stepping import DAY, candidates, changes

MINUTE = 60_000_000
seeds = st.integers(0, 2**62).map(Random)


def check(found: Case, every: int, span: int = 4 * DAY) -> tuple[int, int]:
    """The walk agrees with looking each `every` minutes and around each fact. Returns (looks, changes)."""
    end = found.at + span
    told, looks = changes(found, end)
    instants = sorted({*candidates(found, end), *range(found.at - found.at % MINUTE + MINUTE, end, every * MINUTE)})
    for at in instants:
        truth = told[bisect_right(told, (at, True)) - 1][1]
        assert holds(found.node, found.history, found.world, at) == truth, f"wrong at {at}: {found}"
    return looks, len(told) - 1


often = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)


@settings(often, max_examples=3000)
@given(seeds)
def test_no_change_is_left_out(chance: Random) -> None:
    check(case(chance), every=173)
