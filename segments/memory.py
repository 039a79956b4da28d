"""Core nodes on one customer's history in memory: the same truths as `sql`, and what they are made of.

A node is compiled once into a function, which is then called for every customer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

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
from segments.history import History, World
from segments.memory_customer import attribute, message, points, sample, subscribed, tier
from segments.memory_folds import edge, fold, rank
from segments.memory_history import order_gap, replenish, rfm, sequence
from segments.memory_leaf import Measured, Threshold

Truth = Callable[[History, World, int], bool]

_MEASURED: dict[type[Leaf], Callable[[Any], Measured]] = {
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


def holds(node: Node, history: History, world: World, at: int) -> bool:
    """Whether a customer is in at an instant (microseconds since 1970).

    `world` must have the thresholds of every Rank and Rfm, and the segments that the rule names.
    """
    return truth_of(node)(history, world, at)


@lru_cache(maxsize=4096)
def truth_of(node: Node) -> Truth:
    """`holds` of one node as a function of (history, world, at); for loops over many customers."""
    if isinstance(node, And):
        return _all(tuple(map(truth_of, node.children)))
    if isinstance(node, Or):
        return _any(tuple(map(truth_of, node.children)))
    if isinstance(node, Not):
        child = truth_of(node.child)
        return lambda history, world, at: not child(history, world, at)
    if isinstance(node, Member):
        id = node.segment
        return lambda history, world, at: truth_of(world.segment(id))(history, world, at)
    leaf = _measured(node)
    measure, passes = leaf.measure, leaf.passes
    return lambda history, world, at: passes(measure(history, world, at), world, at)


@dataclass(frozen=True, slots=True)
class Observed:
    """What a leaf's truth rests on, in the units of the rule.

    `value` is what was measured (None: missing), instants as `datetime`, `threshold` what it is compared with, by
    operator; None where being there is enough.
    """

    value: Any
    threshold: Threshold | None


def observe(leaf: Leaf, history: History, world: World, at: int) -> Observed:
    """What `holds` measures of this customer for a leaf; nothing for membership of another segment."""
    if isinstance(leaf, Member):
        return Observed(None, None)
    measured = _measured(leaf)
    value = measured.measure(history, world, at)
    return Observed(measured.shown(value, world), measured.threshold(world, at))


@lru_cache(maxsize=4096)
def _measured(leaf: Leaf) -> Measured:
    return _MEASURED[type(leaf)](leaf)


def _all(children: tuple[Truth, ...]) -> Truth:
    def truth(history: History, world: World, at: int) -> bool:
        for child in children:  # noqa: SIM110 - called for every customer and rule, and a generator costs more
            if not child(history, world, at):
                return False
        return True

    return truth


def _any(children: tuple[Truth, ...]) -> Truth:
    def truth(history: History, world: World, at: int) -> bool:
        for child in children:  # noqa: SIM110
            if child(history, world, at):
                return True
        return False

    return truth
