"""Positions among everyone, as floats find them."""

import math
from decimal import Decimal
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from segments.sql_rank import fraction


@settings(max_examples=5_000)
@given(st.integers(1, 10_000), st.integers(1, 2**31) | st.integers(1, 300).map(lambda many: many * 10_000))
def test_a_position_is_never_one_too_far(hundredths: int, many: int) -> None:
    share = Fraction(hundredths, 10_000)
    assert math.ceil(fraction(Decimal(hundredths).scaleb(-2)) * many) == math.ceil(share * many)
