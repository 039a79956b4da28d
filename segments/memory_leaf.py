"""What a leaf becomes in memory: a number (or value) measured of one customer, and a test of it."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from segments.core import Test
from segments.history import History, World

Threshold = dict[str, Any]


def _as_it_is(measured: Any, _world: World) -> Any:
    return measured


def _nothing(_world: World, _at: int) -> Threshold | None:
    return None


@dataclass(frozen=True, slots=True)
class Measured:
    """The truth of a leaf is `passes(measure(history, world, at), world, at)`.

    `shown` puts what was measured into the units of the rule, instants as `datetime`; `threshold` is what that is
    compared with, by operator, such as `{"gte": Decimal(3)}`.
    """

    measure: Callable[[History, World, int], Any]
    passes: Callable[[Any, World, int], bool]
    shown: Callable[[Any, World], Any] = _as_it_is
    threshold: Callable[[World, int], Threshold | None] = _nothing


def asked(test: Test) -> Callable[[World, int], Threshold]:
    """The threshold that the rule itself names."""
    return lambda world, at: {str(test.op): test.operand}


def in_units(number: Decimal | int | None, scale: int) -> Decimal | None:
    """A number of so many units to one, rounded to 28 digits; None stays None."""
    return None if number is None else Decimal(number) / scale
