"""Dates and instants that JSON strings write, as SQL: null for text that is none, never an error.

Where a cast could fail, CASE keeps it behind the test of its text, since PostgreSQL promises no order within AND. The
SQL of a value is put into one fixed text: built of single expressions, a rule of two thousand dates took SQLAlchemy
half a minute.
"""

from typing import Any, Final

from sqlalchemy import Boolean, ColumnElement, DateTime, Text, func, literal, literal_column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from segments.moments import DATE, INSTANT_PATTERN, LOCAL_PATTERN, OFFSET, TIME

_DAY_PATTERN: Final = f"^{DATE}({TIME}{OFFSET}?)?$"
_EXISTS: Final = (
    "substr({raw}, 9, 2)::integer <= extract(day from (substr({raw}, 1, 7) || '-01')::date + interval '1 month -1 day')"
)
_EXACT: Final = r"regexp_replace({raw}, '(\.\d{{6}})\d+', '\1')"  # microseconds, cut off
_IS_DAY: Final = f"case when {{raw}} ~ {{day_pattern}} then {_EXISTS} else false end"
_INSTANT: Final = (
    f"case when {{raw}} ~ {{local_pattern}} then case when {_EXISTS} then timezone({{zone}}, {_EXACT}::timestamp) end"
    f" when {{raw}} ~ {{instant_pattern}} then case when {_EXISTS} then {_EXACT}::timestamptz end end"
)


class _Instant(FunctionElement[Any]):
    """The instant of a jsonb value; local times are of the zone."""

    type = DateTime(timezone=True)
    inherit_cache = True


class _IsDay(FunctionElement[bool]):
    """Whether a jsonb value is a date that exists."""

    type = Boolean()
    inherit_cache = True


def as_instant(value: ColumnElement[Any], zone: str) -> ColumnElement[Any]:
    """The instant that a JSON string writes; SQL null when it writes none."""
    return _Instant(value, literal(zone, Text))


def is_day(value: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether a JSON string writes a date that exists, with or without a time."""
    return _IsDay(value)


def month_and_day(text: ColumnElement[Any]) -> ColumnElement[Any]:
    """`02-29` of `1992-02-29`, where `is_day` holds; whatever stands there otherwise."""
    return func.substr(text, 6, 5)


def as_text(value: ColumnElement[Any]) -> ColumnElement[Any]:
    """A JSON string's text (of other values, their JSON)."""
    return value.op("#>>")(literal_column("'{}'"))


@compiles(_Instant)
def _instant_sql(element: _Instant, compiler: SQLCompiler, **options: Any) -> str:
    value, zone = (compiler.process(clause, **options) for clause in element.clauses)
    patterns = {"local_pattern": f"'{LOCAL_PATTERN}'", "instant_pattern": f"'{INSTANT_PATTERN}'"}
    return _INSTANT.format(raw=f"({value} #>> '{{}}')", zone=zone, **patterns)


@compiles(_IsDay)
def _is_day_sql(element: _IsDay, compiler: SQLCompiler, **options: Any) -> str:
    (value,) = (compiler.process(clause, **options) for clause in element.clauses)
    return _IS_DAY.format(raw=f"({value} #>> '{{}}')", day_pattern=f"'{_DAY_PATTERN}'")
