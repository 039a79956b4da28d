"""Pairs of conditions that become one hold for the same histories as before."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from segments import core
from segments.core import And, Edge, Fold, Function, Node, Not, Op, Or, Source, Stream, Window
from segments.history import Happening, History, World, micros
from segments.memory import holds
from segments.sql_pass import one_pass

AT = micros(datetime(2026, 3, 1, 12, tzinfo=UTC))
VIEWS = Source(Stream.EVENTS, "View")
DAY = timedelta(days=1)


def count(op: Op, operand: int, window: Window, where: tuple[tuple[str, core.Test], ...] = ()) -> Fold:
    source = Source(VIEWS.stream, VIEWS.name, where, window)
    return Fold(source, Function.COUNT, None, core.Test(op, Decimal(operand)))


SOME = [(Op.GTE, 1), (Op.GT, 0), (Op.NE, 0)]
NONE = [(Op.LT, 1), (Op.LTE, 0), (Op.EQ, 0)]
EVER, LATELY = count(Op.GTE, 1, Window()), count(Op.GTE, 1, Window(within=3 * DAY))


@pytest.mark.parametrize("long", [Window(), Window(within=5 * DAY)])
@pytest.mark.parametrize("negated", [True, False])
def test_did_but_not_lately_is_one_look_at_the_newest(long: Window, negated: bool) -> None:
    chance, truths = Random(1), set()
    for _ in range(200):
        short = Window(within=3 * DAY)
        none = Not(count(*chance.choice(SOME), short)) if negated else count(*chance.choice(NONE), short)
        other = count(Op.GTE, 2, Window())
        parts: list[Node] = [count(*chance.choice(SOME), long), none, other]
        chance.shuffle(parts)
        node = And((parts[0], And(tuple(parts[1:]))))
        made = one_pass(node)
        assert isinstance(made, And)
        assert set(made.children) == {Edge(Source(VIEWS.stream, "View", (), long), True, True, 3 * DAY), other}
        edges = [AT - days * micros_of(DAY) + off for days in (0, 3, 5, 7) for off in (-1, 0, 1)]
        happened = [Happening(ts, {}) for ts in sorted(chance.sample(edges, chance.randrange(5))) if ts <= AT]
        before, after = (holds(each, History(events={"View": happened}), World(), AT) for each in (node, made))
        assert before == after, happened
        truths.add(before)
    assert truths == {True, False}


def micros_of(span: timedelta) -> int:
    return span // timedelta(microseconds=1)


PRICED = (("price", core.Test(Op.GT, Decimal(1))),)


@pytest.mark.parametrize(
    "parts",
    [
        (EVER, LATELY),
        (Not(EVER), Not(LATELY)),
        (count(Op.GTE, 2, Window()), Not(LATELY)),
        (EVER, Not(count(Op.GTE, 2, Window(within=3 * DAY)))),
        (EVER, Not(count(Op.GTE, 1, Window(within=3 * DAY), PRICED))),
        (count(Op.GTE, 1, Window(within=2 * DAY)), Not(LATELY)),
        (LATELY, Not(LATELY)),
        (count(Op.GTE, 1, Window(start=datetime(2026, 1, 1, tzinfo=UTC))), Not(LATELY)),
        (EVER, Not(count(Op.GTE, 1, Window(end=datetime(2026, 1, 1, tzinfo=UTC))))),
        (EVER, Or((Not(LATELY),))),
    ],
)
def test_other_pairs_stay_two(parts: tuple[Any, ...]) -> None:
    assert one_pass(And(parts)) == And(parts)


def test_pairs_are_found_wherever_they_are() -> None:
    pair, edge = And((EVER, Not(LATELY))), And((Edge(VIEWS, True, True, 3 * DAY),))
    assert one_pass(Or((pair, Not(pair)))) == Or((edge, Not(edge)))
