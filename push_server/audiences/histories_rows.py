"""Rows from PostgreSQL as columns: one statement, one result row, each column an array of all the values.

Arrays come in PostgreSQL's binary format, which NumPy reads as it stands; row by row, the driver would take longer than
the database does.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg

from push_server.audiences.histories_sql import Kind, Part, statement
from segments.batch_columns import Numbers
from segments.history import ALWAYS, NEVER

_EPOCH = 946_684_800_000_000  # PostgreSQL counts from 2000-01-01: in microseconds since 1970
_HEADER = 20  # number of dimensions, whether there are nulls, type, length, lower bound: four bytes each


@dataclass(slots=True)
class Rows:
    """Columns of numbers, among them `owner` as the customer's position, and columns of JSON texts ('' for null)."""

    numbers: dict[str, Numbers]
    texts: dict[str, list[str]]

    def __len__(self) -> int:
        return len(self.numbers["owner"])

    def ordered(self, *by: str) -> "Rows":
        """The rows in ascending order of these columns. Most come so from their index already, which is then quick."""
        order = np.lexsort([self.numbers[name] for name in reversed(by)])
        if np.array_equal(order, np.arange(len(order))):
            return self
        places = order.tolist() if self.texts else []
        return Rows(
            {name: column[order] for name, column in self.numbers.items()},
            {name: [column[row] for row in places] for name, column in self.texts.items()},
        )

    def with_more(self, *others: "Rows") -> "Rows":
        """The rows with those of others, which have the same columns of numbers; not for texts."""
        each = [rows.numbers for rows in (self, *others)]
        return Rows({name: np.concatenate([numbers[name] for numbers in each]) for name in self.numbers}, {})

    def chosen(self, rows: npt.NDArray[np.bool_]) -> "Rows":
        """Those of the rows; not for texts."""
        return Rows({name: column[rows] for name, column in self.numbers.items()}, {})

    def take(self, rows: slice) -> "Rows":
        """These rows."""
        return Rows(
            {name: column[rows] for name, column in self.numbers.items()},
            {name: column[rows] for name, column in self.texts.items()},
        )


def fetch(
    conn: psycopg.Connection[Any], parts: Mapping[str, Part], ids: Numbers, parameters: Mapping[str, Any]
) -> dict[str, Rows]:
    """The rows of each part that are of these customers: ids, ascending."""
    with conn.cursor(binary=True) as cursor:
        cursor.execute(statement(parts), {**parameters, "customers": spelled(ids)})
        result = cursor.pgresult
        assert result is not None
        raw = iter([result.get_value(0, place) for place in range(result.nfields)])
    found = {name: _rows(part, raw) for name, part in parts.items()}
    for rows in found.values():
        rows.numbers["owner"] = np.searchsorted(ids, rows.numbers["owner"])
    return found


def _rows(part: Part, raw: Iterator[bytes | None]) -> Rows:
    rows = Rows({}, {})
    for name, (_sql, kind) in part.columns.items():
        value = next(raw)
        if kind == "json":
            rows.texts[name] = [] if value is None else value.decode().split("\n")
        else:
            rows.numbers[name] = np.zeros(0, np.int64) if value is None else array_numbers(value, kind)
    return rows


def spelled(numbers: Numbers) -> str:
    """An array as PostgreSQL reads it from text, which takes a fraction of the time that adapting a list does."""
    return f"{{{','.join(map(str, numbers.tolist()))}}}"


def array_numbers(array: bytes, kind: Kind) -> Numbers:
    """The elements of an array without nulls in PostgreSQL's binary form, each behind its length."""
    element = np.dtype([("length", ">i4"), ("value", ">i4" if kind == "id" else ">i8")])
    values = np.frombuffer(array, element, offset=_HEADER)["value"].astype(np.int64)
    if kind == "instant":
        endless = (values == ALWAYS) | (values == NEVER)
        values = np.where(endless, values, values + _EPOCH)
    return values
