"""A walk from one next change to the following one sees every truth that looking all the time would see.

And it does so with few looks, while edges and stored instants together cover every change.
"""

import inspect
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segments import clock, clock_customer, clock_folds, clock_history, clock_sequence, clock_spans, core
from segments.clock import next_change
from segments.core import And, Attribute, Member, Not, Op
from segments.history import History, World, micros
from segments.memory import holds, truth_of
from segments.needs import everything
from segments.testing import Case, case
from tests.unit.segments.stepping import DAY, candidates, changes, covered, facts

MINUTE = 60_000_000
SPAN = 2 * DAY
seeds = st.integers(0, 2**62)
often = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)


def agrees(found: Case, grid: int = 0) -> None:
    """The walk agrees with looking around each fact, and at `grid` minutes of the span, or all of them."""
    end = found.at + SPAN
    told, _looks = changes(found, end)
    holds = truth_of(found.node)
    minutes = range(found.at - found.at % MINUTE + MINUTE, end, SPAN // grid) if grid else ()
    for at in sorted({*candidates(found, end), *minutes}):
        truth = told[bisect_right(told, (at, True)) - 1][1]
        assert holds(found.history, found.world, at) == truth, f"wrong at {at}: {found}"


@settings(often, max_examples=3000)
@given(seeds)
def test_no_change_is_left_out(seed: int) -> None:
    agrees(case(Random(seed)), grid=16)


@settings(often, max_examples=150)
@given(seeds)
def test_nor_at_any_minute(seed: int) -> None:
    agrees(case(Random(seed)), grid=SPAN // MINUTE)


def test_few_looks_and_all_of_them_covered() -> None:
    """Each leaf that turns is found by an edge, has an instant stored, or turns by a fact whose time has come."""
    all_looks = all_changes = 0
    for seed in range(3000):
        found = case(Random(seed))
        told, looks = changes(found, found.at + SPAN)
        all_looks, all_changes = all_looks + looks, all_changes + len(told) - 1
        known = facts(found.history)
        for at, _truth in told[1:]:
            for leaf in everything([found.node], found.world.segment):
                if isinstance(leaf, Member):
                    continue
                before, after = (holds(leaf, found.history, found.world, each) for each in (at - 1, at))
                assert before == after or at in known or covered(leaf, found, at), f"{seed}: {leaf} turns at {at}"
    assert all_changes > 600, "too few cases in which anything changes"
    assert all_looks <= 1.05 * all_changes


def test_a_date_at_the_end_of_the_calendar_is_never() -> None:
    soon = Attribute("until", core.Test(Op.WITHIN_NEXT, timedelta(days=1)))
    born = Attribute("born", core.Test(Op.ANNIVERSARY_WITHIN, timedelta(days=0)))
    who = History(attributes={"until": "9999-12-31T23:00:00Z", "born": "1990-02-28"})
    assert next_change(And((soon, Not(born))), who, World(), micros(datetime(2026, 3, 1, tzinfo=UTC))) is None


FAULTS: list[tuple[str, Callable[..., Any], str, str]] = [
    ("what leaves the window stays a microsecond longer", clock_spans.lifetimes, "ts + length)", "ts + length + 1)"),
    ("a refund's version stands for ever", clock_spans.lifetimes, "min(each.until, ts + length)", "ts + length"),
    ("a version counts before it stands", clock_spans.lifetimes, "max(ts, each.since)", "ts"),
    ("what comes within the hour counts", clock_folds._walk, "start <= at", "start <= at + 3_600_000_000"),
    ("true, all wait for the last", clock_spans.all_of, "first = min(first, until)", "first = until"),
    ("false, any wait for the last", clock_spans.any_of, "opposite(all_of(map(opposite, states)))", "all_of(states)"),
    ("gaps between spans are overlooked", clock_spans.of_union, "start > reached", "start > reached + 3_600_000_000"),
    ("near by the wrong half", clock_spans.lasting, "(at - length, at)", "(at - length, at + length)"),
    ("newest and oldest are confused", clock_folds.edge, "leaf.newest\n", "not leaf.newest\n"),
    ("points that expire are late by a tick", clock_folds.points, "expires_at - ahead", "expires_at - ahead + 1"),
    ("the gap is forgotten", clock_sequence._undone, "newest + gap", "newest"),
    ("what came at once undoes it", clock_sequence._undone, "happening.ts > newest)", "happening.ts >= newest)"),
    ("the oldest last step for the newest", clock_sequence._undone, "newest = max(", "newest = min("),
    ("the oldest that completes", clock_sequence._complete, "in reversed(step)", "in step"),
    ("the mean gap of one too many", clock_history.order_gap, "(len(times) - 1))", "len(times))"),
    ("the first purchase lasts", clock_history.replenish, "newest = max(", "newest = min("),
    ("the site's birthdays", clock_customer._anniversary, "else history.zone", "else world.zone"),
    ("birthdays end as they begin", clock_customer._anniversary, "day + _DAY", "day"),
    ("no leap years", clock_customer._celebrated, "date(year, 2, 28)", "date(year, 3, 1)"),
    ("midnight is UTC's", clock_customer.midnights, "tzinfo=place", "tzinfo=zones()['UTC']"),
]


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Puts a function with one thing written differently in its place, wherever the clock refers to it."""

    def planted(function: Any, right: str, wrong: str) -> None:
        original = inspect.unwrap(function)
        source = inspect.getsource(original)
        assert right in source, f"{right} is no longer in {function.__name__}"
        scope = dict(vars(sys.modules[original.__module__]))
        exec(source.replace(right, wrong), scope)
        for module in (clock, clock_customer, clock_folds, clock_history, clock_sequence, clock_spans):
            for holder in [vars(module), *(each for each in vars(module).values() if isinstance(each, dict))]:
                for name in [name for name, value in holder.items() if value is function]:
                    monkeypatch.setitem(holder, name, scope[original.__name__])
        clock.clock_of.cache_clear()

    yield planted
    monkeypatch.undo()
    clock.clock_of.cache_clear()


@pytest.mark.parametrize(("function", "right", "wrong"), [pytest.param(*fault, id=title) for title, *fault in FAULTS])
def test_a_planted_fault_is_found(plant: Callable[..., None], function: Any, right: str, wrong: str) -> None:
    plant(function, right, wrong)
    for seed in range(6000):
        try:
            agrees(case(Random(seed)))
        except AssertionError:
            return
    pytest.fail("the walks agree all the same")
