"""Conditions that one pass over the same rows answers together.

Who did something, but not lately, is who did it last so long ago: the newest of each customer's rows tells, where two
selects would read the rows of the short window twice, and join.
"""

from dataclasses import replace
from datetime import timedelta
from typing import TypeGuard

from segments.core import And, Edge, Fold, Function, Node, Not, Op, Or

_SOME = {(Op.GTE, 1), (Op.GT, 0), (Op.NE, 0)}
_NONE = {(Op.LT, 1), (Op.LTE, 0), (Op.EQ, 0)}


def one_pass(node: Node) -> Node:
    """A rule that holds for the same customers, with such pairs within `all` put together."""
    if isinstance(node, Not):
        return Not(one_pass(node.child))
    if isinstance(node, Or):
        return Or(tuple(map(one_pass, node.children)))
    if isinstance(node, And):
        return And(tuple(_paired([one_pass(part) for part in conjuncts(node)])))
    return node


def conjuncts(node: Node) -> list[Node]:
    """What must hold for the node to hold, as finely as it is written."""
    if isinstance(node, And):
        return [part for child in node.children for part in conjuncts(child)]
    return [node]


def splits_at_one(leaf: Node) -> TypeGuard[Fold]:
    """Whether a leaf is a count whose comparison tells only none from some."""
    return _counts(leaf, _SOME | _NONE)


def _counts(leaf: Node, asked: set[tuple[Op, int]]) -> TypeGuard[Fold]:
    return (
        isinstance(leaf, Fold) and leaf.function is Function.COUNT and (leaf.compare.op, leaf.compare.operand) in asked
    )


def _paired(parts: list[Node]) -> list[Node]:
    for some in parts:
        for none in parts:
            edge = _last_before(some, none)
            if edge is not None:
                return _paired([edge, *(part for part in parts if part not in (some, none))])
    return parts


def _last_before(some: Node, none: Node) -> Edge | None:
    """The two as one, where the second is about the end of the first one's window."""
    did, lately = some, _absent(none)
    if not _counts(did, _SOME) or lately is None:
        return None
    long, short = did.source.window, lately.source.window
    same = replace(lately.source, window=long) == did.source
    both_until_now = long == replace(long, start=None, end=None) and short == replace(short, start=None, end=None)
    if same and both_until_now and short.within is not None and short.within < (long.within or timedelta.max):
        return Edge(did.source, newest=True, older=True, age=short.within)
    return None


def _absent(node: Node) -> Fold | None:
    """The count that must be zero."""
    if isinstance(node, Not):
        return node.child if _counts(node.child, _SOME) else None
    return node if _counts(node, _NONE) else None
