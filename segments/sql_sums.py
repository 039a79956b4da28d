"""Exact sums of whole numbers, compared without `numeric`.

PostgreSQL adds bigints up as `numeric`, with a state on the heap for each group: for a million customers that takes
longer than finding their rows. So the upper and the lower 32 bits are added up each for themselves, as plain numbers.
Nothing can overflow: a site has fewer than 2^30 rows of one customer.
"""

from decimal import Decimal
from typing import Any, Final

from sqlalchemy import BigInteger, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from segments.core import Op
from segments.sql_values import Truth, Value, compared

_MOST: Final = 2**63 - 1


class _Whole(FunctionElement[int]):
    """One text, since a tree of its twenty operators takes longer to build than some rules to run."""

    type = BigInteger()
    inherit_cache = True


_UPPER: Final = "sum(({value} >> 32)::integer)"
_LOWER: Final = "(sum((({value} & 4294967295) - 2147483648)::integer) + count(*) * 2147483648)"
_CARRIED: Final = f"({_UPPER} + ({_LOWER} >> 32))"
_SQL: Final = (
    f"case when {_UPPER} between -1073741824 and 1073741823 then ({_UPPER} << 32) + {_LOWER}"
    f" when {_CARRIED} >= 2147483648 then {_MOST} when {_CARRIED} < -2147483648 then -{_MOST} - 1"
    f" else {_CARRIED} * 4294967296 + ({_LOWER} & 4294967295) end"
)


def whole(value: Value) -> Value:
    """The sum of a bigint that is never null, as one bigint; the last one on its side where it is none.

    Lower halves fit into 32 bits as signed numbers, so 2^31 is taken from each and added again. Nearly all sums are
    small enough to be put together without looking at carries: the first case costs a quarter of the others.
    """
    return _Whole(value)


@compiles(_Whole)
def _whole_sql(element: _Whole, compiler: SQLCompiler, **options: Any) -> str:
    (value,) = (compiler.process(clause, **options) for clause in element.clauses)
    return f"({_SQL.format(value=value)})"


def sum_compared(op: Op, value: Value, operands: list[Decimal]) -> Truth | None:
    """The comparison of the sum; None where an operand is no whole number of 64 bits, or the last of them."""
    if any(each != each.to_integral_value() or abs(each) >= _MOST for each in operands):
        return None
    return compared(op, whole(value), [literal(int(each), BigInteger) for each in operands])
