"""`{"order_gap": {"ratio": {"gt": 2}, "min_orders": 3}}`: late by the customer's own rhythm.

The ratio is the time since the last order divided by the mean gap between the orders. Where that gap is 0 (one order,
or all at one instant) it is false.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import ClassVar

from segments import core
from segments.conditions.base import Condition
from segments.context import Context
from segments.fields import Number, Problem, Strict
from segments.language import Plural
from segments.operators import Comparison

_FEWEST = Decimal(2)  # one order has no gap
_MOST = 1_000_000
_LATE = Plural(
    "with at least {number} order whose time since the last one is {compared} times their mean gap between orders",
    "with at least {number} orders whose time since the last one is {compared} times their mean gap between orders",
)


class Rhythm(Strict):
    ratio: Comparison
    min_orders: Number = _FEWEST

    def contradictions(self) -> Iterator[Problem]:
        if self.min_orders % 1 or not 1 <= self.min_orders <= _MOST:
            yield Problem("out_of_range", f"must be a whole number from 1 to {_MOST}", ("min_orders",))


class OrderGap(Condition):
    kind: ClassVar[str] = "order_gap"
    examples = ({"order_gap": {"ratio": {"gt": 2}, "min_orders": 3}},)

    order_gap: Rhythm

    def lower(self) -> core.Node:
        return core.OrderGap(self.order_gap.ratio.test(), int(self.order_gap.min_orders))

    def clause(self, context: Context) -> str:
        orders, language = max(self.order_gap.min_orders, _FEWEST), context.language
        return language.count(_LATE, orders, compared=self.order_gap.ratio.words(language))
