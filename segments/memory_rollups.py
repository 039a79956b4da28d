"""What deleted events add to a leaf, in memory; `sql_rollups` says the same in SQL."""

from collections.abc import Callable
from typing import Any

from segments.core import Edge, Fold, Function
from segments.history import History, RolledUp, World
from segments.rollups import reads_rollups
from segments.values import tested

Rolled = Callable[[History, World, int], list[RolledUp]]
"""A function of (history, world, at): what counts."""


def rolled_up(leaf: Fold | Edge) -> Rolled | None:
    """None where the leaf does not ask of deleted events."""
    if not reads_rollups(leaf):
        return None
    name, wanted = leaf.source.name, leaf.of or "" if isinstance(leaf, Fold) else ""
    tests = [tested(test) for _name, test in leaf.source.where]

    def find(history: History, world: World, at: int) -> list[RolledUp]:
        rows = history.rolled_up.get(name, ())
        return [
            row
            for row in rows
            if row.property == wanted and all(passes(row.category, at, world.zone) for passes in tests)
        ]

    return find


def amount(function: Function) -> Callable[[RolledUp], Any]:
    """What a row adds to the number that a function makes."""
    return _AMOUNTS[function]


_AMOUNTS: dict[Function, Callable[[RolledUp], Any]] = {
    Function.COUNT: lambda row: row.many,
    Function.SUM: lambda row: row.total,
    Function.MIN: lambda row: row.least,
    Function.MAX: lambda row: row.greatest,
}
