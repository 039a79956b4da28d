"""A leaf's key: a text that equal leaves share and no other leaf has, for what a host stores of a leaf."""

import json
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from hashlib import sha256
from typing import Any

from segments.core import Leaf
from segments.history import micros


def key_of(leaf: Leaf) -> str:
    """64 hexadecimal digits, the same in every process."""
    return sha256(json.dumps(_plain(leaf)).encode()).hexdigest()


def _plain(part: Any) -> Any:
    """As JSON, each kind of value apart from the others; 20 and 20.0 are one number."""
    if is_dataclass(part):
        return [type(part).__name__, *(_plain(getattr(part, field.name)) for field in fields(part))]
    if isinstance(part, tuple):
        return ["", *map(_plain, part)]
    if isinstance(part, Decimal):
        return {"number": str(Fraction(part))}
    if isinstance(part, datetime | timedelta):
        return {type(part).__name__: micros(part)}
    return str(part) if isinstance(part, StrEnum) else part
