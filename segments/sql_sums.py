"""Exact sums of whole numbers, compared without `numeric`.

PostgreSQL adds bigints up as `numeric`, with a state on the heap for each group: for a million customers that takes
longer than finding their rows. So the upper and the lower 32 bits are added up each for themselves, as plain numbers,
and compared as a pair. Nothing can overflow: a site has fewer than 2^31 rows of one customer.
"""

from decimal import Decimal

from sqlalchemy import BigInteger, Integer, and_, case, cast, func, literal, literal_column, not_, or_, tuple_

from segments.core import Op
from segments.sql_values import Truth, Value

_HALF = 32
_MASK = literal_column(str(2**_HALF - 1), BigInteger)
_SIGN = literal_column(str(2 ** (_HALF - 1)), BigInteger)
_BITS = literal_column(str(_HALF), Integer)


def halves(value: Value) -> tuple[Value, Value]:
    """The sum of a bigint that is never null: how often 2^32 goes into it, and what remains, which is not negative."""
    upper = func.sum(cast(value.op(">>")(_BITS), Integer))
    lower = func.sum(cast(value.op("&")(_MASK) - _SIGN, Integer)) + func.count() * _SIGN
    return upper + lower.op(">>")(_BITS), lower.op("&")(_MASK)


def whole(value: Value) -> Value:
    """The sum as one bigint, to sort by; beyond 64 bits, which is more than one order may cost, the last of them."""
    upper, lower = halves(value)
    most = 2 ** (_HALF - 1)
    total = upper * literal_column(str(2**_HALF), BigInteger) + lower
    return case(
        (upper >= most, literal_column(str(2**63 - 1), BigInteger)),
        (upper < -most, literal_column(str(1 - 2**63), BigInteger)),
        else_=total,
    )


def sum_compared(op: Op, value: Value, operands: list[Decimal]) -> Truth | None:
    """The comparison of the sum; None where an operand is no whole number of 64 bits."""
    if any(each != each.to_integral_value() or abs(each) >= 2**63 for each in operands):
        return None
    total = tuple_(*halves(value))
    asked = [tuple_(*(literal(part, BigInteger) for part in divmod(int(each), 2**_HALF))) for each in operands]
    if op is Op.BETWEEN:
        return and_(total >= asked[0], total <= asked[1])
    if op in (Op.IN, Op.NOT_IN):
        among = or_(*(total == each for each in asked))
        return among if op is Op.IN else not_(among)
    compare = {
        Op.EQ: total == asked[0],
        Op.NE: total != asked[0],
        Op.GT: total > asked[0],
        Op.GTE: total >= asked[0],
        Op.LT: total < asked[0],
        Op.LTE: total <= asked[0],
    }
    return compare[op]
