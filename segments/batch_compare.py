"""Columns of whole numbers against operands that are exact decimals: exact as well, or not at all."""

from fractions import Fraction
from math import ceil, floor

import numpy as np

from segments.batch_columns import Numbers, Truths
from segments.core import COMPARE, Op, Test, operands

LARGEST = 2**63 - 1


def passing(test: Test, numbers: Numbers, scale: int = 1) -> Truths:
    """Which numbers, of `scale` units to one, pass; none of them is LARGEST or -LARGEST, or beyond."""
    ends = [Fraction(each) * scale for each in operands(test)]
    if test.op in (Op.IN, Op.NOT_IN):
        found = np.isin(numbers, np.array([_clipped(end) for end in map(_whole, ends) if end is not None], np.int64))
        return ~found if test.op is Op.NOT_IN else found
    if test.op in (Op.EQ, Op.NE):
        whole = _whole(ends[0])
        found = np.zeros(len(numbers), np.bool_) if whole is None else np.equal(numbers, _clipped(whole))
        return ~found if test.op is Op.NE else found
    if test.op is Op.BETWEEN:
        return (numbers >= _clipped(ceil(ends[0]))) & (numbers <= _clipped(floor(ends[1])))
    rounded = ceil(ends[0]) if test.op in (Op.GTE, Op.LT) else floor(ends[0])
    return np.asarray(COMPARE[test.op](numbers, _clipped(rounded)))


def passing_each(test: Test, numbers: Numbers, units: Numbers, scale: int = 1) -> Truths | None:
    """Which numbers pass the test whose operands count in `units`, of each number its own.

    By multiplying both sides with what makes the operands whole; None where that might be too large for 64 bits.
    """
    ends = [Fraction(each) * scale for each in operands(test)]
    factor = np.lcm.reduce([1, *(end.denominator for end in ends)], dtype=object)
    wholes = [int(end * factor) for end in ends]
    if max(_most(numbers), 1) * factor >= LARGEST or max(_most(units), 1) * max(map(abs, wholes)) >= LARGEST:
        return None
    left, right = numbers * int(factor), [units * whole for whole in wholes]
    if test.op in (Op.IN, Op.NOT_IN):
        found: Truths = np.logical_or.reduce([left == each for each in right])
        return ~found if test.op is Op.NOT_IN else found
    if test.op is Op.BETWEEN:
        return np.asarray((right[0] <= left) & (left <= right[1]))
    return np.asarray(COMPARE[test.op](left, right[0]))


def sums(numbers: Numbers, starts: Numbers, counts: Numbers) -> Numbers | None:
    """The sums of groups that begin at `starts`; None where one might be too large for 64 bits."""
    if not len(starts):
        return np.zeros(0, np.int64)
    if _most(numbers) * int(counts.max()) >= LARGEST:
        return None
    summed: Numbers = np.add.reduceat(numbers, starts)
    return summed


def _most(numbers: Numbers) -> int:
    return max(abs(int(numbers.min())), abs(int(numbers.max()))) if len(numbers) else 0


def _whole(number: Fraction) -> int | None:
    return number.numerator if number.denominator == 1 else None


def _clipped(number: int) -> int:
    return max(-LARGEST, min(number, LARGEST))
