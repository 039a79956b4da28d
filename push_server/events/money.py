"""Money as micros: whole millionths of a currency unit, in a bigint."""

from decimal import ROUND_HALF_EVEN, Decimal

LIMIT = 9_000_000_000_000
"""The largest amount either way, in currency units: its micros still fit a bigint."""


def micros(amount: int | float | Decimal) -> int:
    """The amount in micros, rounded to the nearest. ValueError beyond LIMIT (and for NaN).

    A float stands for the decimal that JSON wrote, so 0.1 is a tenth exactly.
    """
    if not -LIMIT <= amount <= LIMIT:
        raise ValueError(f"{amount} is beyond ±{LIMIT}")
    if type(amount) is int:
        return amount * 1_000_000
    if type(amount) is float and -1e8 < amount < 1e8:
        return round(amount * 1e6)  # exact for up to six decimals, since fifteen digits survive a double
    exact = Decimal(str(amount)) if type(amount) is float else Decimal(amount)
    return int((exact * 1_000_000).to_integral_value(ROUND_HALF_EVEN))
