"""Rules over many customers at once: the same truths as `memory`, in columns of NumPy.

Each distinct leaf is evaluated once for all of them, however many rules have it, and rules combine whole columns of
truths. A leaf that no column form is exact for is asked of each customer in turn.
"""

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any, TypeVar

import numpy as np

from segments.batch_columns import Batch, Truths
from segments.batch_customer import attribute, message, points, sample, subscribed, tier
from segments.batch_folds import edge, fold, rank
from segments.batch_history import order_gap, replenish, rfm, sequence
from segments.batch_view import View
from segments.core import (
    And,
    Attribute,
    Edge,
    Fold,
    Leaf,
    Member,
    Message,
    Node,
    Not,
    Or,
    OrderGap,
    Points,
    Rank,
    Replenish,
    Rfm,
    Sample,
    Sequence,
    Subscribed,
    Tier,
)
from segments.history import World
from segments.memory import truth_of

FEW = 32
"""For fewer customers than that it is quicker to go through them one by one: with 100 rules, 10 ms of calling NumPy."""

_K = TypeVar("_K")

_FORMS: dict[type[Leaf], Callable[[Any, View], Truths | None]] = {
    Attribute: attribute,
    Fold: fold,
    Edge: edge,
    Sample: sample,
    OrderGap: order_gap,
    Rank: rank,
    Rfm: rfm,
    Replenish: replenish,
    Sequence: sequence,
    Message: message,
    Subscribed: subscribed,
    Points: points,
    Tier: tier,
}


def evaluate(nodes: Mapping[_K, Node], batch: Batch, world: World, at: int) -> dict[_K, Truths]:
    """For each rule, by its key, which customers of the batch are in at an instant (microseconds since 1970).

    The batch must hold what `needs` says of the rules, and `world` the thresholds of every Rank and Rfm.
    """
    truth = _in_turn(batch, world, at) if len(batch) < FEW else _Columns(View(batch, world, at)).truth
    return {key: truth(node) & batch.known for key, node in nodes.items()}


def _in_turn(batch: Batch, world: World, at: int) -> Callable[[Node], Truths]:
    histories = [batch.history(position) for position in range(len(batch))]

    def truth(node: Node) -> Truths:
        holds = truth_of(node)
        return np.array([holds(history, world, at) for history in histories], np.bool_)

    return truth


class _Columns:
    """Truths by node, each found once."""

    def __init__(self, view: View) -> None:
        self.view = view
        self._known: dict[Node, Truths] = {}
        self._in_turn: Callable[[Node], Truths] | None = None

    def truth(self, node: Node) -> Truths:
        """The truths of a node; not to be written to."""
        if node not in self._known:
            self._known[node] = self._found(node)
        return self._known[node]

    def _found(self, node: Node) -> Truths:
        many = len(self.view.batch)
        if isinstance(node, And):
            return reduce(np.logical_and, map(self.truth, node.children), np.ones(many, np.bool_))
        if isinstance(node, Or):
            return reduce(np.logical_or, map(self.truth, node.children), np.zeros(many, np.bool_))
        if isinstance(node, Not):
            return ~self.truth(node.child)
        if isinstance(node, Member):
            return self.truth(self.view.world.segment(node.segment))
        found = _FORMS[type(node)](node, self.view)
        return self._one_by_one(node) if found is None else found

    def _one_by_one(self, leaf: Leaf) -> Truths:
        if self._in_turn is None:
            self._in_turn = _in_turn(self.view.batch, self.view.world, self.view.at)
        return self._in_turn(leaf)
