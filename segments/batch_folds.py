"""Numbers made of happenings, and their newest and oldest, for many customers; `memory_folds` says it of one."""

from decimal import Decimal

import numpy as np

from segments.batch_columns import Numbers, Truths
from segments.batch_compare import LARGEST, passing, passing_each, sums
from segments.batch_rollups import is_asked, with_counts, with_ends
from segments.batch_view import Groups, View
from segments.core import Edge, Fold, Function, Op, Rank, Stream, Test, passes
from segments.history import micros
from segments.memory_rows import MICROS
from segments.names import ORDER_VALUE

_NUMBER_OF_NONE = (Function.COUNT, Function.SUM, Function.DISTINCT)  # 0; of the others it is missing


def fold(leaf: Fold, view: View) -> Truths | None:
    """None where a number is no whole micros, or a sum might be too large for 64 bits, or of deleted events too."""
    groups, test = view.groups(leaf.source), leaf.compare
    if is_asked(leaf, view):
        return None if leaf.of else passing(test, with_counts(leaf, view, groups.owners, groups.counts))
    made = _made(leaf, groups, view)
    if made is None:
        return None
    numbers, there, scale = made
    if leaf.function is Function.AVG:
        found = passing_each(test, numbers, there.astype(np.int64), scale)
    else:
        found = passing(test, numbers, scale)
    if found is None:
        return None
    if leaf.function in _NUMBER_OF_NONE:
        return view.spread(groups.owners, found, passes(test, Decimal(0)))
    return view.spread(groups.owners, found & (there > 0))


def edge(leaf: Edge, view: View) -> Truths:
    """By the newest (or oldest) instant of each."""
    groups = view.groups(leaf.source)
    owners, ts = groups.owners, view.table(leaf.source).ts[groups.last if leaf.newest else groups.first]
    if is_asked(leaf, view):
        owners, ts = with_ends(leaf, view, owners, ts)
    return view.spread(owners, (ts <= view.at - micros(leaf.age)) == leaf.older)


def rank(leaf: Rank, view: View) -> Truths | None:
    """By the worth of the last one still in; averages are for `memory`."""
    if leaf.function is Function.AVG:
        return None
    groups, last = view.groups(leaf.source), view.world.thresholds[leaf]
    made = _made(leaf, groups, view)
    if made is None:
        return None
    numbers, there, scale = made
    if last is None:
        return view.spread(groups.owners, np.zeros(len(groups.owners), np.bool_))
    stored = leaf.source.stream is Stream.ORDERS and leaf.of in ORDER_VALUE
    found = passing(Test(Op.GTE, Decimal(last)), numbers, 1 if stored else scale)
    return view.spread(groups.owners, found if leaf.function in _NUMBER_OF_NONE else found & (there > 0))


def _made(leaf: Fold | Rank, groups: Groups, view: View) -> tuple[Numbers, Numbers, int] | None:
    """For each owner the number (of an average the sum), of how many numbers it is made, and its units to one."""
    if leaf.of is None:
        return groups.counts, groups.counts, 1
    if leaf.function is Function.DISTINCT:
        many = _distinct(view.column(leaf.source, leaf.of).codes, _nothing(leaf, view), groups)
        return many, many, 1
    found = view.numbers(leaf.source, leaf.of)
    if found is None:
        return None
    numbers, there = found[0][groups.rows], None if found[1] is None else found[1][groups.rows]
    counts = groups.counts if there is None else _reduced(np.add, there.astype(np.int64), groups)
    if leaf.function in (Function.MIN, Function.MAX):
        reduce, missing = (np.minimum, LARGEST) if leaf.function is Function.MIN else (np.maximum, -LARGEST)
        return _reduced(reduce, numbers if there is None else np.where(there, numbers, missing), groups), counts, MICROS
    summed = sums(numbers if there is None else np.where(there, numbers, 0), groups.starts, groups.counts)
    return None if summed is None else (summed, counts, MICROS)


def _nothing(leaf: Fold | Rank, view: View) -> int:
    """The code of missing values; -1 when there are none."""
    assert leaf.of is not None
    values = view.column(leaf.source, leaf.of).values
    return next((code for code, value in enumerate(values) if value is None), -1)


def _distinct(codes: Numbers, nothing: int, groups: Groups) -> Numbers:
    """How many different codes each owner has."""
    place = np.repeat(np.arange(len(groups.owners)), groups.counts)
    mine = codes[groups.rows]
    pairs = np.unique((place * (int(codes.max(initial=0)) + 1) + mine)[mine != nothing])
    return np.bincount(pairs // (int(codes.max(initial=0)) + 1), minlength=len(groups.owners))


def _reduced(reduce: np.ufunc, numbers: Numbers, groups: Groups) -> Numbers:
    made: Numbers = reduce.reduceat(numbers, groups.starts) if len(groups.starts) else numbers
    return made
