"""The naive judge of the conditions that look at a whole history, or at everyone's."""

from datetime import timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Any

from tests.integration.segments_judge import Judge, Shopper, compare


class HistoryJudge(Judge):
    """As the judge of single conditions, in rational numbers."""

    def holds(self, node: dict[str, Any], who: Shopper) -> bool:
        if "order_gap" in node:
            return self.late(node["order_gap"], who)
        return super().holds(node, who)

    def late(self, asked: dict[str, Any], who: Shopper) -> bool:
        times = sorted(order.at for order in self.orders(who))
        if len(times) < max(asked.get("min_orders", 2), 2) or times[-1] == times[0]:
            return False
        gaps = [later - earlier for earlier, later in pairwise(times)]
        tick = timedelta(microseconds=1)
        since, all_gaps = (self.t - times[-1]) // tick, sum(gaps, timedelta(0)) // tick
        ((operator, operand),) = asked["ratio"].items()
        operands = [Fraction(str(each)) for each in (operand if isinstance(operand, list) else [operand])]
        return compare(Fraction(since * len(gaps), all_gaps), operator, operands)
