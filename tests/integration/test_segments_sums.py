"""Sums of whole numbers are exact, whatever the numbers: added up in halves, compared as Python compares them."""

from decimal import Decimal

from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import ARRAY, BigInteger, func, literal, select

from push_server.db import Database
from segments.core import Op
from segments.sql_sums import sum_compared, whole

EDGES = [0, 1, -1, 2**31, 2**32 - 1, 2**32, -(2**31), -(2**32), 9 * 10**18, -9 * 10**18, 500_000_000]
numbers = st.sampled_from(EDGES) | st.integers(-(2**62), 2**62)
ORDERED = {Op.EQ: "__eq__", Op.NE: "__ne__", Op.GT: "__gt__", Op.GTE: "__ge__", Op.LT: "__lt__", Op.LTE: "__le__"}


def test_sums_are_exact(db: Database) -> None:
    with db.session() as session:

        @settings(max_examples=300, deadline=None)
        @example([-(2**62), -(2**62)], 0, 0, False)
        @example([-(2**62), -(2**62), -1], 0, 0, False)
        @example([2**62, 2**62 - 1, 1], 0, 0, False)
        @given(st.lists(numbers, min_size=1, max_size=4), numbers, st.sampled_from([-1, 0, 1]), st.booleans())
        def exact(values: list[int], other: int, off: int, near: bool) -> None:
            total = sum(values)
            asked = total + off if near and abs(total) < 2**62 else other
            value = func.unnest(literal(values, ARRAY(BigInteger))).column_valued("value")
            truths = {op: sum_compared(op, value, [Decimal(asked)]) for op in ORDERED}
            low, high = sorted([Decimal(asked), Decimal(other)])
            between = sum_compared(Op.BETWEEN, value, [low, high])
            among = sum_compared(Op.IN, value, [Decimal(asked), Decimal(other)])
            row = session.sql(select(*truths.values(), between, among, whole(value))).one()
            wanted = [getattr(total, name)(asked) for name in ORDERED.values()]
            assert list(row[:-1]) == [*wanted, low <= total <= high, total in (asked, other)]
            assert row[-1] == max(min(total, 2**63 - 1), -(2**63))

        exact()


def test_operands_that_halves_cannot_hold_are_left_to_numeric() -> None:
    value = literal(1, BigInteger)
    assert sum_compared(Op.GT, value, [Decimal("0.5")]) is None
    assert sum_compared(Op.BETWEEN, value, [Decimal(1), Decimal(2**63)]) is None
