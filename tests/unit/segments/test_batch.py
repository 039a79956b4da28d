"""Columns against one by one, where 64 bits or the order of things could make a difference."""

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segments.batch import evaluate
from segments.batch_columns import Batch, Happenings, Lots, coded, read_json
from segments.batch_compare import LARGEST, passing, passing_each
from segments.core import (
    COMPARE,
    And,
    Edge,
    Fold,
    Function,
    Member,
    Node,
    Not,
    Op,
    Or,
    OrderGap,
    Points,
    Rank,
    Rfm,
    Score,
    Source,
    Stream,
    Window,
    operands,
)
from segments.core import (
    Test as Asked,
)
from segments.history import ALWAYS, NEVER, World
from segments.memory import truth_of

MANY = 100
ORDERS = Source(Stream.ORDERS)
NUMBERED = (Op.EQ, Op.NE, Op.IN, Op.NOT_IN, Op.GT, Op.GTE, Op.LT, Op.LTE, Op.BETWEEN)
near = st.integers(-3, 3).map(Decimal) | st.sampled_from(
    [Decimal(n) for n in ("0.5", "-1.5", "2.000001", "1e15", "-1e15")]
)


@st.composite
def comparisons(draw: st.DrawFn) -> Asked:
    op = draw(st.sampled_from(NUMBERED))
    if op in (Op.IN, Op.NOT_IN):
        return Asked(op, tuple(draw(st.lists(near, min_size=1, max_size=3))))
    return Asked(op, tuple(sorted((draw(near), draw(near))))) if op is Op.BETWEEN else Asked(op, draw(near))


wholes = st.integers(-4, 4) | st.sampled_from([2**62, -(2**62), LARGEST - 1, 1_500_000, 2_000_001, 10**15])


@given(comparisons(), st.lists(wholes, max_size=6), st.sampled_from([1, 10**6]))
def test_whole_numbers_pass_as_exact_ones_do(test: Asked, numbers: list[int], scale: int) -> None:
    found = passing(test, np.array(numbers, np.int64), scale)
    assert found.tolist() == [exactly(test, Fraction(number, scale)) for number in numbers]


@given(
    comparisons(),
    st.lists(st.tuples(wholes, st.integers(1, 5) | st.just(2**40)), max_size=6),
    st.sampled_from([1, 10**6]),
)
def test_quotients_pass_as_exact_ones_do(test: Asked, pairs: list[tuple[int, int]], scale: int) -> None:
    numbers, units = (np.array([pair[side] for pair in pairs], np.int64) for side in (0, 1))
    found = passing_each(test, numbers, units, scale)
    small = all(abs(number) <= 4 and unit <= 5 for number, unit in pairs)
    assert found is not None or not small or max(map(abs, operands(test))) == 10**15
    if found is not None:
        assert found.tolist() == [exactly(test, Fraction(number, unit * scale)) for number, unit in pairs]


def exactly(test: Asked, number: Fraction) -> bool:
    asked: Any = tuple(map(Fraction, operands(test)))
    return COMPARE[test.op](number, asked if isinstance(test.operand, tuple) else asked[0])


def orders(*each: tuple[int, int, int]) -> Batch:
    """MANY customers; of orders, who, when and how much."""
    owner, ts, value = (np.array(column, np.int64) for column in zip(*sorted(each), strict=True))
    table = Happenings(owner, MANY, ts, np.full(len(ts), ALWAYS), np.full(len(ts), NEVER), value)
    return Batch(np.arange(MANY), np.ones(MANY, np.bool_), orders=table)


def total(op: Op, operand: str, function: Function = Function.SUM) -> Fold:
    return Fold(ORDERS, function, "revenue", Asked(op, Decimal(operand)))


def members(node: Node, batch: Batch, world: World, at: int) -> list[int]:
    """By columns, having seen that they agree with `memory`."""
    found = evaluate({"rule": node}, batch, world, at)["rule"].tolist()
    assert found == [truth_of(node)(batch.history(position), world, at) for position in range(len(batch))]
    return [position for position, truth in enumerate(found) if truth]


HUGE = 9 * 10**18  # micros: the largest amount there is


def test_sums_beyond_64_bits_are_exact() -> None:
    """Three times the largest amount would wrap around to less than nothing."""
    batch = orders(
        (1, 10, HUGE), (1, 20, HUGE), (1, 30, HUGE), (2, 10, -HUGE), (2, 10, -HUGE), (3, 10, HUGE), (4, 10, 7)
    )
    assert members(total(Op.GT, "9e12"), batch, World(), 100) == [1]
    assert members(total(Op.EQ, "27e12"), batch, World(), 100) == [1]
    assert members(total(Op.LT, "0"), batch, World(), 100) == [2]
    assert members(total(Op.LTE, "0.000007"), batch, World(), 5) == list(range(MANY))
    assert members(total(Op.GTE, "9e12", Function.AVG), batch, World(), 100) == [1, 3]
    assert members(total(Op.LT, "0", Function.MIN), batch, World(), 100) == [2]


def test_points_beyond_64_bits_are_exact() -> None:
    two = np.array([2**62, 2**62])
    lots = Lots(np.array([3, 3]), MANY, np.zeros(2, np.int64), np.full(2, NEVER), np.full(2, NEVER), two)
    batch = Batch(np.arange(MANY), np.ones(MANY, np.bool_), lots=lots)
    assert members(Points(None, Asked(Op.GT, Decimal(2**62))), batch, World(), 1) == [3]
    assert members(Points(None, Asked(Op.EQ, Decimal(0))), batch, World(), 1) == [
        each for each in range(MANY) if each != 3
    ]


def test_own_rhythms_over_centuries_are_exact() -> None:
    """Since × gaps is beyond 64 bits for the one with many orders."""
    century = 100 * 365 * 86_400 * 10**6
    batch = orders(*((1, each, 1) for each in range(4001)), (2, 0, 1), (2, century, 1))
    at = 2 * century
    late = OrderGap(Asked(Op.EQ, Decimal(1)), 2)
    assert members(late, batch, World(), at) == [2]
    assert members(OrderGap(Asked(Op.GT, Decimal("1.5")), 2), batch, World(), at) == [1]


def test_what_is_not_loaded_as_a_number_is_no_number() -> None:
    """Millionths of millionths, text, nothing, and a number as large as none of 64 bits."""
    for texts in (["1.5", '"2"', "null", "-3"], ["0.0000000001", '"2"', "", "1e30"]):
        table = Happenings(
            np.arange(4), MANY, np.arange(4), category=np.zeros(4, np.int64),
            properties={"size": coded(texts, read_json)},
        )  # fmt: skip
        batch = Batch(np.arange(MANY), np.ones(MANY, np.bool_), events={"Seen": table})
        for function in (Function.SUM, Function.AVG, Function.MIN, Function.MAX, Function.DISTINCT):
            for test in (Asked(Op.GT, Decimal(0)), Asked(Op.EQ, Decimal(0)), Asked(Op.NE, Decimal("1.5"))):
                members(Fold(Source(Stream.EVENTS, "Seen"), function, "size", test), batch, World(), 10)


@pytest.mark.parametrize("many", [0, 1, 5, MANY])
def test_the_future_counts_nowhere_and_nobody_is_no_fault(many: int) -> None:
    table = Happenings(np.arange(min(many, 1)), many, np.full(min(many, 1), 50), value=np.zeros(min(many, 1), np.int64))
    batch = Batch(np.arange(many), np.ones(many, np.bool_), orders=table, lines=table)
    some = Fold(ORDERS, Function.COUNT, None, Asked(Op.GTE, Decimal(1)))
    edges = [
        Edge(ORDERS, newest, older, timedelta(microseconds=9)) for newest in (True, False) for older in (True, False)
    ]
    rfm = Rfm(((Score.MONETARY, Asked(Op.GTE, Decimal(1))), (Score.RECENCY, Asked(Op.LTE, Decimal(5)))))
    best = Rank(ORDERS, Function.SUM, "revenue", Decimal(20))
    world = World(thresholds={rfm: ((None, 1, 2, 3), (None,) * 4), best: 0}, segment=lambda id: Not(some))
    nodes = [some, And((some, Not(some))), Or(()), And(()), Member("s"), rfm, best, *edges]
    assert [len(members(node, batch, world, 49)) for node in nodes] == [0, 0, 0, many, many, 0, 0, 0, 0, 0, 0]
    inside = Source(Stream.ORDERS, window=Window(within=timedelta(microseconds=1)))
    assert len(members(Fold(inside, Function.COUNT, None, Asked(Op.EQ, Decimal(1))), batch, world, 50)) == min(many, 1)


def test_a_column_reads_each_text_once() -> None:
    column = coded(["a", "", "b", "a"], lambda text: [text])
    assert [column.at(row) for row in range(4)] == [["a"], None, ["b"], ["a"]]
    assert len(column.values) == 3
