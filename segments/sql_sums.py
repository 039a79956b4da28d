"""Exact sums of whole numbers, compared without `numeric`.

PostgreSQL adds bigints up as `numeric`, with a state on the heap for each group: for a million customers that takes
longer than finding their rows. So the upper and the lower 32 bits are added up each for themselves, as plain numbers.
Nothing can overflow: a site has fewer than 2^30 rows of one customer.
"""

from decimal import Decimal

from sqlalchemy import BigInteger, Integer, case, cast, func, literal, literal_column

from segments.core import Op
from segments.sql_values import Truth, Value, compared

_HALF = 32
_MOST = 2**63 - 1


def whole(value: Value) -> Value:
    """The sum of a bigint that is never null, as one bigint; the last of them where it is none.

    Lower halves fit into 32 bits as signed numbers, so 2^31 is taken from each and added again. Nearly all sums are
    small enough to be put together without looking at carries: the first case costs a quarter of the others.
    """
    mask, sign, bits = _big(2**_HALF - 1), _big(2 ** (_HALF - 1)), literal_column(str(_HALF), Integer)
    upper = func.sum(cast(value.op(">>")(bits), Integer))
    lower = func.sum(cast(value.op("&")(mask) - sign, Integer)) + func.count() * sign
    carried, rest = upper + lower.op(">>")(bits), lower.op("&")(mask)
    small = 2 ** (_HALF - 2)
    return case(
        (upper.between(_big(-small), _big(small - 1)), upper.op("<<")(bits) + lower),
        (carried >= _big(2 ** (_HALF - 1)), _big(_MOST)),
        (carried < _big(-(2 ** (_HALF - 1))), _big(-_MOST)),
        else_=carried * _big(2**_HALF) + rest,
    )


def sum_compared(op: Op, value: Value, operands: list[Decimal]) -> Truth | None:
    """The comparison of the sum; None where an operand is no whole number of 64 bits, or the last of them."""
    if any(each != each.to_integral_value() or abs(each) >= _MOST for each in operands):
        return None
    return compared(op, whole(value), [literal(int(each), BigInteger) for each in operands])


def _big(number: int) -> Value:
    return literal_column(f"({number})", BigInteger)
