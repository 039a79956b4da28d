"""What deleted events add to a leaf, for many customers; `memory_rollups` says it of one."""

import numpy as np

from segments.batch_columns import Numbers, Truths
from segments.batch_view import View
from segments.core import Edge, Fold
from segments.rollups import reads_rollups


def is_asked(leaf: Fold | Edge, view: View) -> bool:
    """Whether the leaf asks of deleted events, and somebody in the batch has some."""
    return leaf.source.name in view.batch.rolled_up and reads_rollups(leaf)


def with_counts(leaf: Fold, view: View, owners: Numbers, counts: Numbers) -> Numbers:
    """How many events each customer of the batch has had, from how many are there."""
    every = np.zeros(len(view.batch), np.int64)
    every[owners] = counts
    chosen = _rows(leaf, view)
    table = view.batch.rolled_up[leaf.source.name]
    np.add.at(every, table.owner[chosen], table.many[chosen])
    return every


def with_ends(leaf: Edge, view: View, owners: Numbers, ends: Numbers) -> tuple[Numbers, Numbers]:
    """Owners with the instant of their newest (or oldest) event, from those that are there."""
    chosen = _rows(leaf, view)
    table = view.batch.rolled_up[leaf.source.name]
    rows, instants = np.append(owners, table.owner[chosen]), (table.last if leaf.newest else table.first)[chosen]
    order = np.lexsort([np.append(ends, instants), rows])
    rows, instants = rows[order], np.append(ends, instants)[order]
    edge = np.append(rows[1:] != rows[:-1], True) if leaf.newest else np.append(True, rows[1:] != rows[:-1])
    return rows[edge[: len(rows)]], instants[edge[: len(rows)]]


def _rows(leaf: Fold | Edge, view: View) -> Truths:
    """The rows about events themselves whose categories pass."""
    table = view.batch.rolled_up[leaf.source.name]
    chosen: Truths = np.array([not name for name in table.property.values], np.bool_)[table.property.codes]
    for _name, test in leaf.source.where:
        chosen &= view.fits(test, view.dictionary(table.category))
    return chosen
