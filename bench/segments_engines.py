"""DuckDB and ClickHouse (as chDB) over the same rows, each kept beside the shop. Both are optional: `make bench`
installs them.
"""

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bench.segments_data import NONE, NOW, ORDERED, Shop, category_of, since_2000
from bench.segments_load import customer_ids
from bench.segments_sql import CLICKHOUSE, DUCKDB, LINE

Found = tuple[int, int]
"""How many customers, and the sum of their ids, by which engines are compared."""
_COUNTED = "select count(*), sum(customer) from ({}) as found"


class Engine(ABC):
    """Answers the ten rules."""

    name: str

    @abstractmethod
    def find(self, rule: str) -> Found:
        """The customers of a rule."""


@contextmanager
def engines(home: Path, shop: Any) -> Iterator[list[Engine]]:
    """Those that are installed; `shop()` gives the columns where one has to be filled first."""
    with ExitStack() as stack:
        found: list[Engine] = []
        if importlib.util.find_spec("duckdb"):
            found.append(stack.enter_context(closing(_Duck(home / "duckdb", shop))))
        if importlib.util.find_spec("chdb"):
            session = stack.enter_context(closing(_House(home / "chdb", shop)))
            found += [_Layout(session, "kind"), _Layout(session, "customer")]
        yield found


class _Duck(Engine):
    """Sorted by kind and time."""

    name = "DuckDB"

    def __init__(self, path: Path, shop: Any) -> None:
        import duckdb

        fresh = not path.exists()
        self._conn = duckdb.connect(str(path))
        if fresh:
            for table, order in (("event", "kind, ts"), ("points", "expires"), ("customer", "born")):
                rows = _arrow(table, shop())
                self._conn.register("rows", rows)
                self._conn.execute(f"create table {table} as select * from rows order by {order}")
                self._conn.unregister("rows")

    def find(self, rule: str) -> Found:
        row = self._conn.execute(_COUNTED.format(DUCKDB[rule])).fetchone()
        assert row is not None
        return int(row[0]), int(row[1] or 0)

    def close(self) -> None:
        self._conn.close()


class _House:
    """ClickHouse with the events twice: `kind` sorted by kind and time, `customer` by customer and time."""

    def __init__(self, path: Path, shop: Any) -> None:
        from chdb.session import Session

        fresh = not path.exists()
        self._session = Session(str(path))
        if fresh:
            self._fill(path.with_suffix(".parquet"), shop())

    def _fill(self, scratch: Path, shop: Shop) -> None:
        import pyarrow.parquet

        tables = {
            "event": "kind UInt8, customer Int32, ts Int64, value Int64, category Int16",
            "points": "customer Int32, expires Int64, points Int64",
            "customer": "customer Int32, born Int16",
        }
        orders = {"kind": ("kind, ts", "expires", "born"), "customer": ("customer, ts", "expires", "born")}
        for table, order in zip(tables, zip(*orders.values(), strict=True), strict=True):
            pyarrow.parquet.write_table(_arrow(table, shop), scratch, compression="none")
            for layout, key in zip(orders, order, strict=True):
                self.query(f"create database if not exists {layout}")
                self.query(f"create table {layout}.{table} ({tables[table]}) engine = MergeTree order by ({key})")
                self.query(f"insert into {layout}.{table} select * from file('{scratch}', Parquet)")
                self.query(f"optimize table {layout}.{table} final")
            scratch.unlink()

    def query(self, statement: str) -> str:
        return str(self._session.query(statement, "CSV"))

    def close(self) -> None:
        self._session.close()


class _Layout(Engine):
    def __init__(self, house: _House, layout: str) -> None:
        self.name = f"chDB by {layout}, time"
        self._house, self._layout = house, layout

    def find(self, rule: str) -> Found:
        self._house.query(f"use {self._layout}")
        count, total = self._house.query(_COUNTED.format(CLICKHOUSE[rule])).strip().split(",")
        return int(count), int(total)


def _arrow(table: str, shop: Shop) -> Any:
    """A table's rows: orders cancelled by now left out, lines with the category that counts."""
    import pyarrow

    return pyarrow.table({name: pyarrow.array(column) for name, column in _rows(table, shop).items()})


def _rows(table: str, shop: Shop) -> dict[str, Any]:
    now, ids = since_2000(NOW), customer_ids(np.arange(shop.customers)).astype(np.int32)
    if table == "points":
        points = shop.points
        alive = (points.since <= now) & (points.until > now)
        return {
            "customer": ids[points.customer[alive]],
            "expires": points.expires[alive],
            "points": points.points[alive],
        }
    if table == "customer":
        known = np.flatnonzero(shop.birthday != NONE)
        days = shop.birthday[known].astype("datetime64[D]")
        month = days.astype("datetime64[M]")
        born = (month.astype(np.int64) % 12 + 1) * 100 + (days - month).astype(np.int64) + 1
        return {"customer": ids[known], "born": born.astype(np.int16)}
    events, orders, lines = shop.events, shop.orders, shop.lines
    plain, stands = events.kind != ORDERED, orders.until > now
    bought = stands[lines.order]
    parts = {
        "kind": (events.kind[plain], np.full(stands.sum(), ORDERED), np.full(bought.sum(), LINE)),
        "customer": (
            events.customer[plain],
            orders.customer[stands],
            orders.customer[lines.order[bought]],
        ),
        "ts": (events.ts[plain], orders.ts[stands], orders.ts[lines.order[bought]]),
        "value": (events.value[plain], orders.value[stands], lines.amount[bought]),
        "category": (
            events.category[plain],
            np.full(stands.sum(), NONE),
            category_of(lines.product[bought]),
        ),
    }
    joined = {name: np.concatenate(columns) for name, columns in parts.items()}
    return {
        "kind": joined["kind"].astype(np.uint8),
        "customer": ids[joined["customer"]],
        "ts": joined["ts"],
        "value": joined["value"],
        "category": joined["category"].astype(np.int16),
    }
