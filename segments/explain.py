"""Why a customer is in a segment or not: the rule's own tree, with what was found of him at each node.

Truth and observed value come from the evaluator in memory, the next change from the clock.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from math import isfinite
from typing import Any

from segments.clock import next_change
from segments.conditions import Condition
from segments.conditions.segment import Segment
from segments.context import Context
from segments.core import And, Not, Or
from segments.history import History, World, instant, micros
from segments.memory import holds, observe
from segments.moments import as_text
from segments.rule import Rule, parse


def explain(rule: Rule, history: History, world: World, at: datetime, context: Context) -> dict[str, Any]:
    """The tree as JSON: `node, words, truth, observed, threshold, changes_at, children` for each condition.

    `observed` is a number, a text or an instant (null: missing), and `threshold` what it is compared with, by operator.
    `changes_at` is the next instant at which the truth can change without a new fact; null: never. A condition on
    another segment has that segment's tree below it. `world` must have what `memory.holds` needs.
    """
    return _Explained(history, world, at, context).tree(rule.where)


class _Explained:
    def __init__(self, history: History, world: World, at: datetime, context: Context) -> None:
        self.history, self.world, self.context = history, world, context
        self.at = micros(at)

    def tree(self, condition: Condition) -> dict[str, Any]:
        node = condition.lower()
        told: dict[str, Any] = {"node": condition.written(), "words": condition.clause(self.context)}
        told |= {"truth": holds(node, self.history, self.world, self.at), "observed": None, "threshold": None}
        if not isinstance(node, And | Or | Not):
            observed = observe(node, self.history, self.world, self.at)
            told |= {"observed": _json(observed.value), "threshold": _json(observed.threshold)}
        change = next_change(node, self.history, self.world, self.at)
        told["changes_at"] = None if change is None else as_text(instant(change))
        told["children"] = [self.tree(child) for child in self._below(condition)]
        return told

    def _below(self, condition: Condition) -> list[Condition]:
        if not isinstance(condition, Segment):
            return condition.parts
        found = self.context.segment(condition.segment)
        return [] if found is None else [parse(found.rule, self.context).where]


def _json(value: Any) -> Any:
    """A value of the evaluator's as JSON; numbers that JSON's readers would not keep, as text."""
    if isinstance(value, Decimal):
        number = int(value) if value == value.to_integral_value() and abs(value) < 2**53 else float(value)
        return number if isfinite(number) else str(value)
    if isinstance(value, datetime):
        return as_text(value)
    if isinstance(value, timedelta):
        return f"{value.days}d"  # only anniversaries have one, of whole days
    if isinstance(value, list | tuple):
        return [_json(each) for each in value]
    if isinstance(value, dict):
        return {name: _json(each) for name, each in value.items()}
    return value
