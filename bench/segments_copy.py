"""Columns of NumPy as PostgreSQL's binary COPY format
(https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format").

Rows of one width are one array of a structured type, so no row is touched by Python. Hence a null is a matter of the
whole part: rows are copied in parts that have their nulls in the same columns.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"

Field = NDArray[Any] | None
"""One value a row, or null in all of them."""


def big(values: NDArray[Any], width: int) -> NDArray[Any]:
    """Whole numbers of so many bytes, as PostgreSQL wants them."""
    return values.astype(f">i{width}")


def small_numeric(values: NDArray[Any]) -> NDArray[Any]:
    """Whole numbers of 1 to 9,999 as `numeric`: one digit of base 10,000."""
    made = np.zeros(values.size, dtype=[("head", ">i2", (4,)), ("digit", ">i2")])
    made["head"][:, 0] = 1
    made["digit"] = values
    return made


def texts(values: Iterable[str]) -> NDArray[np.bytes_]:
    """Text of one width: shorter ones are filled up with spaces, which JSON allows."""
    raw = [value.encode() for value in values]
    width = max(map(len, raw))
    return np.array([each.ljust(width) for each in raw], dtype=f"S{width}")


def documents(values: Iterable[str]) -> NDArray[np.bytes_]:
    """The same as `jsonb`, whose binary form begins with its version."""
    plain = texts(values)
    return np.char.add(b"\x01", plain)


def packed(*fields: Field) -> bytes:
    """The rows; HEADER goes before the first part and TRAILER after the last."""
    size = next(field.size for field in fields if field is not None)
    layout: list[tuple[str, Any]] = [("fields", ">i2")]
    for place, field in enumerate(fields):
        layout.append((f"length_{place}", ">i4"))
        if field is not None:
            layout.append((f"value_{place}", field.dtype))
    rows = np.empty(size, dtype=layout)
    rows["fields"] = len(fields)
    for place, field in enumerate(fields):
        rows[f"length_{place}"] = -1 if field is None else field.dtype.itemsize
        if field is not None:
            rows[f"value_{place}"] = field
    return rows.tobytes()
