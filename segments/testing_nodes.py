"""Rules in core nodes by chance: every kind of leaf, every operator.

What is drawn meets often: few names and values, instants half an hour apart or a microsecond off, spans that are
multiples of that.
"""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any

from segments import core
from segments.core import Function, Op, Outcome, Score, Stream, Test
from segments.history import instant, micros

STEP = micros(timedelta(minutes=30))
NAMES = ["A", "B"]
TEXTS = ["dog", "cat", ""]
NUMBERS = [Decimal(text) for text in ("-1", "0", "0.1", "0.2", "0.3", "1", "2", "5", "19.99")]
SPANS = [timedelta(hours=hours) for hours in (0.5, 1, 2, 6, 12, 24, 36, 48)]
_FEW = [Decimal(number) for number in range(5)]
_PLAIN = [Op.EQ, Op.NE, Op.GT, Op.GTE, Op.LT, Op.LTE]


def moment(chance: Random, noon: int) -> int:
    """Microseconds: half hours within four days before and three after, more often near, some a little off."""
    steps = chance.choice([chance.randint(-192, 144), chance.randint(-96, 96), 2 * chance.randint(-6, 6)])
    return noon + steps * STEP + chance.choice([0, 0, 0, 0, 1, -1, 37_500_000])


class Nodes:
    """Draws rules; `noon` is the instant (microseconds) around which everything is drawn."""

    def __init__(self, chance: Random, noon: int) -> None:
        self.chance, self.noon = chance, noon
        self.choice = chance.choice

    def tree(self, size: int, members: Sequence[str] = ()) -> core.Node:
        """At most so many leaves, of all kinds alike; `members` are the segments that they may name."""
        if size <= 1:
            leaf = self.leaf(members)
            return core.Not(leaf) if self.chance.random() < 0.3 else leaf
        kind = self.choice(["leaf", "and", "and", "or", "or", "not"])
        if kind == "leaf":
            return self.tree(1, members)
        if kind == "not":
            return core.Not(self.tree(size, members))
        sizes = self.choice([[], [size], [1, size - 1], [1, size - 1], [size // 2, size - size // 2]])
        children = tuple(self.tree(each, members) for each in sizes)
        return core.And(children) if kind == "and" else core.Or(children)

    def leaf(self, members: Sequence[str] = ()) -> core.Leaf:
        """Any leaf."""
        kind = self.choice([*_KINDS, *([core.Member] if members else [])])
        if kind is core.Member:
            return core.Member(self.choice(members))
        return _KINDS[kind](self)  # type: ignore[no-any-return]

    def source(self, window: core.Window | None = None) -> core.Source:
        """Happenings of any stream; two in five are asked something of their properties."""
        stream = self.choice([Stream.EVENTS, Stream.EVENTS, Stream.ORDERS, Stream.LINES])
        name = self.choice(NAMES) if stream is Stream.EVENTS else ""
        asked = [(self.choice(["p", "category", "when"]), self.test()) for _ in range(self.choice([0, 0, 0, 1, 2]))]
        return core.Source(stream, name, tuple(asked), window or self.window())

    def window(self) -> core.Window:
        """Mostly one that moves."""
        kind = self.choice(["within", "within", "within", "all", "fixed"])
        if kind == "fixed":
            start, end = (self.choice([None, instant(moment(self.chance, self.noon))]) for _ in range(2))
            return core.Window(start=start, end=end)
        return core.Window(self.choice(SPANS) if kind == "within" else None)

    def compared(self, values: Sequence[Decimal]) -> Test:
        """What can be asked of a number."""
        op, some = self.choice([*_PLAIN, Op.IN, Op.NOT_IN, Op.BETWEEN]), (self.choice(values), self.choice(values))
        if op in _PLAIN:
            return Test(op, some[0])
        return Test(op, (min(some), max(some)) if op is Op.BETWEEN else some)

    def test(self) -> Test:
        """What can be asked of a value, half of it about time."""
        scalars: list[Any] = [*TEXTS, *NUMBERS, True]
        op = self.choice([Op.WITHIN_LAST, Op.WITHIN_NEXT] * 3 + [op for op in Op if op is not Op.ANNIVERSARY_WITHIN])
        if op in (Op.WITHIN_LAST, Op.WITHIN_NEXT):
            return Test(op, self.choice(SPANS))
        if op in (Op.EQ, Op.NE, Op.CONTAINS):
            return Test(op, self.choice(scalars))
        if op in (Op.IN, Op.NOT_IN):
            return Test(op, (self.choice(scalars), self.choice(scalars)))
        if op is Op.STARTS_WITH:
            return Test(op, self.choice(TEXTS))
        if op is Op.EXISTS:
            return Test(op, self.choice([True, False]))
        if op in (Op.BEFORE, Op.AFTER) or self.chance.random() < 0.5:
            ends = sorted(instant(moment(self.chance, self.noon)) for _ in range(2))
            return Test(op, (ends[0], ends[1]) if op is Op.BETWEEN else ends[0])
        found = sorted((self.choice(NUMBERS), self.choice(NUMBERS)))
        return Test(op, (found[0], found[1]) if op is Op.BETWEEN else found[0])

    def attribute(self) -> core.Attribute:
        if self.chance.random() < 0.5:
            days = timedelta(days=self.choice([0, 1, 2, 7, 365, 366, 1000]))
            return core.Attribute("born", Test(Op.ANNIVERSARY_WITHIN, days))
        return core.Attribute(self.choice(["a", "b"]), self.test())

    def measured(self) -> tuple[core.Source, Function, str | None]:
        """A number made of happenings."""
        function = self.choice([Function.COUNT, Function.COUNT, *Function])
        of = None if function is Function.COUNT else self.choice(["p", "q", "category", "revenue", "quantity"])
        return self.source(), function, of

    def fold(self) -> core.Fold:
        source, function, of = self.measured()
        whole = function in (Function.COUNT, Function.DISTINCT)
        return core.Fold(source, function, of, self.compared(_FEW if whole else NUMBERS))

    def rank(self) -> core.Rank:
        source, function, of = self.measured()
        return core.Rank(source, function, of, Decimal(20))

    def edge(self) -> core.Edge:
        return core.Edge(self.source(), self.choice([True, False]), self.choice([True, False]), self.choice(SPANS))

    def sequence(self) -> core.Sequence:
        """Mostly as rules lower them, with one window for all steps."""
        window = self.choice([self.window(), self.window(), self.window(), None])
        steps = tuple(self.source(window) for _ in range(self.choice([1, 1, 2, 2, 3])))
        absent = self.source(window) if len(steps) == 1 or self.chance.random() < 0.5 else None
        gap = None if absent is None else self.choice([None, *SPANS])
        return core.Sequence(steps, absent, gap, self.choice([None, None, "p", "category"]))

    def rfm(self) -> core.Rfm:
        scores = self.chance.sample(list(Score), self.chance.randint(1, 3))
        return core.Rfm(tuple((score, self.compared(_FEW)) for score in scores))

    def subscribed(self) -> core.Subscribed:
        asked = self.chance.sample(["created_at", "browser", "topics"], self.chance.randint(0, 2))
        return core.Subscribed(tuple((name, self.test()) for name in asked))


_KINDS: dict[type[Any], Any] = {
    core.Attribute: Nodes.attribute,
    core.Fold: Nodes.fold,
    core.Edge: Nodes.edge,
    core.Sequence: Nodes.sequence,
    core.Rfm: Nodes.rfm,
    core.Subscribed: Nodes.subscribed,
    core.Sample: lambda the: core.Sample(the.choice([Decimal(1), Decimal(50)]), the.choice(["x", "y"])),
    core.OrderGap: lambda the: core.OrderGap(the.compared(NUMBERS), the.choice([1, 2, 3])),
    core.Rank: Nodes.rank,
    core.Replenish: lambda the: core.Replenish(the.choice(SPANS)),
    core.Message: lambda the: core.Message(the.choice([None, "c1", "c2"]), the.choice(list(Outcome)), the.window()),
    core.Points: lambda the: core.Points(the.choice([None, *SPANS]), the.compared(_FEW)),
    core.Tier: lambda the: core.Tier(the.test()),
}
