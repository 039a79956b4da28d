"""Kinds of fields that the bodies and queries of the API share."""

import math
from decimal import Decimal
from typing import Annotated, Any

from fastapi import Query
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, StringConstraints
from pydantic_core import PydanticCustomError

from push_server.errors import Fault

MAX_DEPTH = 8
MAX_PRICE = Decimal(10) ** 12


class Body(BaseModel):
    """A request body of the management side: no unknown fields, and no numbers as text."""

    model_config = ConfigDict(extra="forbid", strict=True)


class BrowserBody(BaseModel):
    """A request body from a browser: unknown fields are let through, since browsers and SDKs grow new ones."""

    model_config = ConfigDict(extra="ignore", strict=True)


def is_storable(text: str) -> bool:
    """Whether PostgreSQL can store the text: no NUL, no half of a surrogate pair."""
    return "\0" not in text and (text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text))


def storable(text: str) -> str:
    """The text, when it `is_storable`."""
    if not is_storable(text):
        raise PydanticCustomError("unstorable_value", "text must be valid Unicode without NUL")
    return text


def _amount(value: object) -> object:
    """A JSON number as the decimal that was written: at most 15 digits, which floating point carries unchanged."""
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise PydanticCustomError("number_type", "must be a number, not text")
    amount = Decimal(str(value))
    if not amount.is_finite() or not 0 <= amount <= MAX_PRICE:
        raise PydanticCustomError("out_of_range", "must be from 0 to 1000000000000")
    digits, exponent = amount.normalize().as_tuple()[1:]
    if not isinstance(exponent, int) or exponent < -6 or len(digits) > 15:
        raise PydanticCustomError("too_precise", "takes at most 15 digits, 6 of them after the point")
    return amount


def _not_blank(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("blank", "must not be blank")
    return text


Line = Annotated[str, StringConstraints(strict=True, max_length=500), AfterValidator(storable)]
Name = Annotated[
    str, StringConstraints(strict=True, max_length=255), AfterValidator(storable), AfterValidator(_not_blank)
]
Id = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=255), AfterValidator(storable)]
Amount = Annotated[
    Decimal, BeforeValidator(_amount, json_schema_input_type=float), PlainSerializer(float, return_type=float)
]
TimeOfDay = Annotated[
    str,
    StringConstraints(strict=True, pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$"),
    Field(description="as in 09:00", examples=["09:00"]),
]
Limit = Annotated[int, Query(ge=1, le=1000, description="rows a page")]
Cursor = Annotated[str | None, Query(max_length=2000, description="`next_cursor` of the page before")]


def json_faults(value: Any, path: str, depth: int = 1) -> list[Fault]:
    """What keeps a free JSON value from being stored and read back: depth, key length, text, numbers."""
    if isinstance(value, str):
        return [] if is_storable(value) else [Fault(path, "text must be valid Unicode without NUL", "unstorable_value")]
    if isinstance(value, float) and not math.isfinite(value):
        return [Fault(path, "must be a finite number", "not_finite")]
    if isinstance(value, int) and abs(value) >= 10**30:
        return [Fault(path, "must have at most 30 digits", "out_of_range")]
    if not isinstance(value, (dict, list)):
        return []
    if depth > MAX_DEPTH:
        return [Fault(path, f"is nested deeper than {MAX_DEPTH} levels", "too_deep")]
    if isinstance(value, list):
        return [fault for at, item in enumerate(value) for fault in json_faults(item, f"{path}[{at}]", depth + 1)]
    faults = []
    for key, item in value.items():
        if not 1 <= len(key) <= 255 or not is_storable(key):
            faults.append(Fault(path, "has a name that is empty, over 255 characters, or no valid text", "bad_name"))
        else:
            faults += json_faults(item, f"{path}.{key}", depth + 1)
    return faults
