"""The naive judge of the conditions that look at a whole history, or at everyone's."""

import json
import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from itertools import product as chains
from typing import Any

from tests.integration.segments_judge import Judge, Shopper, article, compare, length, made, number, same

FUNCTIONS = ("sum", "avg", "min", "max", "distinct")


@dataclass
class HistoryJudge(Judge):
    """As the judge of single conditions, in rational numbers."""

    lifespans: dict[str, int] = field(default_factory=dict)
    reckoned: dict[str, Any] = field(default_factory=dict)

    def holds(self, node: dict[str, Any], who: Shopper) -> bool:
        if "order_gap" in node:
            return self.late(node["order_gap"], who)
        if "rank" in node:
            return self.among_the_best(node["rank"], who)
        if "sequence" in node:
            return self.in_order(node, who)
        if "replenish" in node:
            return self.runs_out(length(node["replenish"]["within"]), who)
        if "rfm" in node:
            return all(self.asked(self.score(name, who), asked) for name, asked in node["rfm"].items())
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

    def among_the_best(self, asked: dict[str, Any], who: Shopper) -> bool:
        worths = self.once("rank", asked, lambda: self.worths(asked["by"]))
        known = sorted((worth for worth in worths.values() if worth is not None), reverse=True)
        everyone = [*known, *(None for worth in worths.values() if worth is None)]
        mine = worths.get(who.id)
        if mine is None:
            return False
        last = everyone[math.ceil(len(everyone) * Fraction(str(asked["top_percent"])) / 100) - 1]
        return last is None or mine >= last

    def once(self, *key: Any) -> Any:
        """What is the same for everyone is reckoned once."""
        *named, reckon = key
        written = json.dumps(named)
        if written not in self.reckoned:
            self.reckoned[written] = reckon()
        return self.reckoned[written]

    def worths(self, by: dict[str, Any]) -> dict[str, Fraction | None]:
        function, of = next(((key, by[key]) for key in FUNCTIONS if key in by), ("count", None))
        found = {each.id: self.happenings(by, each) for each in self.shoppers}
        return {id: self.worth(function, of, happened) for id, happened in found.items() if happened}

    def worth(self, function: str, of: Any, found: list[tuple[datetime, dict[str, Any], Decimal | None]]) -> Any:
        if function == "count":
            return Fraction(len(found))
        values = self.values(function, of, found)
        if function == "avg":
            numbers = [Fraction(each) for value in values if (each := number(value)) is not None]
            return sum(numbers) / len(numbers) if numbers else None
        return made(function, values)

    def score(self, name: str, who: Shopper) -> Decimal | None:
        measures = self.once("rfm", name, lambda: self.measures(name))
        if who.id not in measures:
            return None
        worse = [each for each in measures.values() if each < measures[who.id]]
        return Decimal(1 + 5 * len(worse) // len(measures))

    def measures(self, name: str) -> dict[str, Any]:
        orders = {each.id: found for each in self.shoppers if (found := self.orders(each))}
        if name == "recency":
            return {id: max(order.at for order in found) for id, found in orders.items()}
        if name == "frequency":
            return {id: len(found) for id, found in orders.items()}
        return {id: sum(order.value for order in found) for id, found in orders.items()}

    def runs_out(self, ahead: timedelta, who: Shopper) -> bool:
        for product, days in self.lifespans.items():
            bought = [order.at for order in self.orders(who) for line in order.lines if article(line) == product]
            if bought and self.t < max(bought) + timedelta(days=days) <= self.t + ahead:
                return True
        return False

    def in_order(self, node: dict[str, Any], who: Shopper) -> bool:
        steps = [self.happenings(step, who) for step in node["sequence"]]
        if "same" not in node:
            return self.completes(node, [[ts for ts, _properties, _value in step] for step in steps])
        values = [properties.get(node["same"]) for _ts, properties, _value in steps[0]]
        return any(
            self.completes(
                node,
                [
                    [ts for ts, properties, _value in step if same(value, properties.get(node["same"]))]
                    for step in steps
                ],
            )
            for value in values
            if value is not None
        )

    def completes(self, node: dict[str, Any], steps: list[list[datetime]]) -> bool:
        """Every chain is tried."""
        absent = steps.pop() if node["sequence"][-1].get("absent") else None
        newest = [
            chain[-1]
            for chain in chains(*steps)
            if self.in_window(chain[0], {"within": node["within"]} if "within" in node else {})
            and all(earlier < later for earlier, later in pairwise(chain))
        ]
        if not newest or absent is None:
            return bool(newest)
        gap = length(node["gap"]) if "gap" in node else timedelta(0)
        return self.t - max(newest) >= gap and not any(ts > max(newest) for ts in absent)
