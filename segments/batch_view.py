"""A batch at an instant: the happenings of a source, and their properties as columns, each found once."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from segments.batch_columns import Batch, Coded, Happenings, Numbers, Truths
from segments.batch_compare import LARGEST
from segments.core import Source, Stream, Test, Window, is_by_text
from segments.history import World, micros
from segments.memory_rows import MICROS
from segments.names import ORDER_VALUE
from segments.values import EXACT, key, tested


@dataclass(slots=True)
class Groups:
    """Rows of a table by owner: those of `owners[i]` are `counts[i]` many from `rows[starts[i]]` on."""

    rows: Numbers
    owners: Numbers
    starts: Numbers
    counts: Numbers

    @property
    def first(self) -> Numbers:
        """The first row of each owner."""
        return np.take(self.rows, self.starts)

    @property
    def last(self) -> Numbers:
        """The last row of each owner."""
        return np.take(self.rows, self.starts + self.counts - 1)


def grouped(owner: Numbers, chosen: Truths) -> Groups:
    """The chosen rows of a table whose owners ascend."""
    rows = np.flatnonzero(chosen)
    of = owner[rows]
    starts = np.flatnonzero(np.append(True, of[1:] != of[:-1])) if len(of) else rows
    return Groups(rows, of[starts], starts, np.diff(starts, append=len(of)))


class View:
    """What the forms of leaves read."""

    def __init__(self, batch: Batch, world: World, at: int) -> None:
        self.batch, self.world, self.at = batch, world, at
        self._memory: dict[Hashable, Any] = {}

    def once(self, name: Hashable, find: Callable[[], Any]) -> Any:
        """What is found under a name, found once."""
        if name not in self._memory:
            self._memory[name] = find()
        return self._memory[name]

    def spread(self, owners: Numbers, truths: Truths, others: bool = False) -> Truths:
        """The truths of all customers, from those of some."""
        everyone = np.full(len(self.batch), others, np.bool_)
        everyone[owners] = truths
        return everyone

    def fits(self, test: Test, column: Coded) -> Truths:
        """Which rows' values pass; each distinct value is asked once."""
        passes, zone = tested(test), self.world.zone
        truths = np.fromiter((passes(value, self.at, zone) for value in column.values), np.bool_, len(column.values))
        return truths[column.codes]

    def table(self, source: Source) -> Happenings:
        """The happenings of a source's stream."""
        found = self.batch.orders if source.stream is Stream.ORDERS else self.batch.lines
        if source.stream is Stream.EVENTS:
            found = self.batch.events[source.name]
        assert found is not None, "loaded by what the rules need"
        return found

    def groups(self, source: Source) -> Groups:
        """The happenings of a source that match, by customer."""
        found: Groups = self.once(source, lambda: self._groups(source))
        return found

    def _groups(self, source: Source) -> Groups:
        table = self.table(source)
        chosen = self.in_window(source.window, table.ts)
        if table.since is not None and table.until is not None:
            chosen &= (table.since <= self.at) & (table.until > self.at)
        for name, test in source.where:
            column = self.texts(source) if is_by_text(source.stream, name, test) else self.column(source, name)
            chosen &= self.fits(test, column)
        return grouped(table.owner, chosen)

    def in_window(self, window: Window, ts: Numbers) -> Truths:
        """Which instants lie in a window, none later than now."""
        chosen: Truths = ts <= self.at
        if window.within is not None:
            chosen &= ts > self.at - micros(window.within)
        if window.start is not None:
            chosen &= ts >= micros(window.start)
        if window.end is not None:
            chosen &= ts < micros(window.end)
        return chosen

    def numbers(self, source: Source, name: str) -> tuple[Numbers, Truths | None] | None:
        """A property in micros, and where it is a number (None: everywhere).

        None where some are no whole micros, or too large.
        """
        table = self.table(source)
        is_value = source.stream is Stream.ORDERS and name in ORDER_VALUE
        if is_value or (source.stream is Stream.LINES and name == "revenue"):
            assert table.value is not None
            return table.value, None
        return self.once(("numbers", source.stream, source.name, name), lambda: _micros(self.column(source, name)))  # type: ignore[no-any-return]

    def column(self, source: Source, name: str) -> Coded:
        """A property of the source's happenings, whatever its tests and window."""
        found: Coded = self.once((source.stream, source.name, name), lambda: self._column(source, name))
        return found

    def _column(self, source: Source, name: str) -> Coded:
        table = self.table(source)
        if source.stream is Stream.LINES and (found := self._of_line(table, name)) is not None:
            return found
        free = table.properties[name]
        distinct = by_key(free.values)
        return Coded(distinct.codes[free.codes], distinct.values)

    def texts(self, source: Source) -> Coded:
        """The categories of plain events, as far as they are text."""
        name = ("texts", source.name)
        found: Coded = self.once(name, lambda: self.dictionary(self.table(source).category))
        return found

    def _of_line(self, table: Happenings, name: str) -> Coded | None:
        if name == "quantity":
            return table.quantity
        if name == "product_id":
            return self.dictionary(table.product)
        if name == "category":
            return self._categories(table)
        if name == "revenue":
            assert table.value is not None
            values, codes = np.unique(table.value, return_inverse=True)
            return Coded(codes, [Decimal(value).scaleb(-6) for value in values.tolist()])
        return None

    def dictionary(self, ids: Numbers | None) -> Coded:
        """A column of ids as one of the dictionary's texts."""
        assert ids is not None
        distinct = np.unique(ids)
        return Coded(np.searchsorted(distinct, ids), [self.batch.texts.get(id) for id in distinct.tolist()])

    def _categories(self, table: Happenings) -> Coded:
        """A line's own category, else the catalogue's of its product."""
        own, product = self.dictionary(table.category), self.dictionary(table.product)
        listed = [None if text is None else self.world.categories.get(text) for text in product.values]
        both = by_key([*own.values, *listed])
        named, by_product = both.codes[: len(own.values)], both.codes[len(own.values) :]
        assert table.category is not None
        return Coded(np.where(table.category == 0, by_product[product.codes], named[own.codes]), both.values)


def by_key(values: list[Any]) -> Coded:
    """A column of JSON values, in which equal ones have one code."""
    places: dict[Hashable, int] = {}
    distinct: list[Any] = []
    codes = []
    for value in values:
        code = places.setdefault(key(value), len(distinct))
        if code == len(distinct):
            distinct.append(value)
        codes.append(code)
    return Coded(np.array(codes, np.int64), distinct)


def _micros(column: Coded) -> tuple[Numbers, Truths] | None:
    wholes, numbers = [], []
    for value in column.values:
        scaled = EXACT.multiply(value, MICROS) if isinstance(value, Decimal) else 0
        if not -LARGEST < scaled < LARGEST or scaled != int(scaled):
            return None
        wholes.append(int(scaled))
        numbers.append(isinstance(value, Decimal))
    return np.array(wholes, np.int64)[column.codes], np.array(numbers, np.bool_)[column.codes]
