"""What generated rules hardly ever meet: numbers beyond machine words, and leaves that Python takes for equal."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from segments import Context, parse
from segments.core import Node, Op, Sample, Test
from segments.history import Happening, History, World, micros
from segments.memory import holds, observe

AT = micros(datetime(2026, 3, 1, 12, tzinfo=UTC))
VIEW = {"event": "View"}


def node(where: Any) -> Node:
    return parse({"version": 1, "where": where}, Context()).lower()


def viewed(*prices: Any) -> History:
    return History(events={"View": [Happening(AT, {"x": price}) for price in prices]})


def test_true_is_not_one_though_python_finds_them_equal() -> None:
    assert Test(Op.EQ, True) != Test(Op.EQ, Decimal(1))
    assert Test(Op.IN, (True,)) != Test(Op.IN, (Decimal(1),))
    assert Test(Op.EQ, Decimal(5)) == Test(Op.EQ, Decimal("5.0"))
    yes, one = ({**VIEW, "where": {"x": {"eq": value}}} for value in (True, 1))
    assert [holds(node(each), viewed(True), World(), AT) for each in (yes, one)] == [True, False]
    assert [holds(node(each), viewed(Decimal(1)), World(), AT) for each in (yes, one)] == [False, True]


@pytest.mark.parametrize(
    ("aggregate", "prices", "expected"),
    [
        ({"sum": {"of": "x", "gt": 1e15}}, ["1e15", "1e-40"], True),
        ({"sum": {"of": "x", "eq": 0.3}}, ["0.1", "0.1", "0.1"], True),
        ({"avg": {"of": "x", "lt": 1e15}}, ["1e15", "1e15", "999999999999999.9999999999999999999999999999999"], True),
        ({"distinct": {"of": "x", "eq": 1}}, ["1", "1.0", "1e0"], True),
        ({"max": {"of": "x", "gt": 0}}, ["0", "1e-400"], True),
    ],
)
def test_decimals_are_never_rounded(aggregate: dict[str, Any], prices: list[str], expected: bool) -> None:
    assert holds(node({**VIEW, **aggregate}), viewed(*map(Decimal, prices)), World(), AT) is expected


def test_an_average_is_shown_in_the_units_of_the_rule() -> None:
    average = node({"event": "Order Completed", "avg": {"of": "revenue", "lt": 20}})
    orders = [Happening(AT, {}, value=value) for value in (10_000_000, 15_000_000)]
    seen = observe(average, History(orders=orders), World(), AT)
    assert (seen.value, seen.threshold) == (Decimal("12.5"), {"lt": Decimal(20)})


def test_what_stood_counts_while_it_stood() -> None:
    since, until = AT - 10, AT
    ordered = History(orders=[Happening(AT - 20, {}, since, until, value=1)])
    truths = [
        holds(node({"event": "Order Completed"}), ordered, World(), at) for at in (since - 1, since, until - 1, until)
    ]
    assert truths == [False, True, True, False]


def test_a_share_is_rounded_up_to_whole_hashes() -> None:
    assert Sample(Decimal(0), "").bound == 0
    assert Sample(Decimal(100), "").bound == 2**32
    assert Sample(Decimal("0.0000000001"), "").bound == 1


def test_a_date_at_the_end_of_the_calendar_is_compared_all_the_same() -> None:
    late = node({"attribute": "a", "after": "2026-01-01"})
    ahead = node({"attribute": "a", "within_next": "30d"})
    who = History(attributes={"a": "9999-12-31T23:59:59-15:00"})
    assert (holds(late, who, World(), AT), holds(ahead, who, World(), AT)) == (True, False)
    west = World(zone="America/Los_Angeles")
    assert holds(late, History(attributes={"a": "9999-12-31"}), west, AT)
