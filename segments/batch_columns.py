"""Many customers' facts side by side, as NumPy columns: what the evaluator of batches reads.

The host loads them. A customer is named by his position in the batch. The rows of a table are in ascending order of
their owner's position, and of `ts` where they have one. Instants are microseconds as in `segments.history`.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from segments.core import Outcome
from segments.history import ALWAYS, NEVER, Happening, History, LotValue, Reach, RolledUp, Sent, TierChange

Numbers = npt.NDArray[np.int64]
Truths = npt.NDArray[np.bool_]

read_json = json.JSONDecoder(parse_float=Decimal, parse_int=Decimal).decode
"""A JSON text's value, numbers as Decimal."""


@dataclass(slots=True)
class Coded:
    """A column of few distinct values: for each row the place of its value in `values`."""

    codes: Numbers
    values: list[Any]

    def at(self, row: int) -> Any:
        """The value of a row."""
        return self.values[self.codes[row]]


def coded(texts: Sequence[str], read: Callable[[str], Any]) -> Coded:
    """A column from texts, each distinct one read once; the empty text is None."""
    places: dict[str, int] = {}
    codes = [places.setdefault(text, len(places)) for text in texts]
    return Coded(np.array(codes, np.int64), [read(text) if text else None for text in places])


@dataclass
class Table:
    """Rows with the position of the customer whom each is of."""

    owner: Numbers
    customers: int

    @cached_property
    def bounds(self) -> Numbers:
        """Rows of the customer at position i are bounds[i] to bounds[i + 1] (excluded)."""
        return np.searchsorted(self.owner, np.arange(self.customers + 1))

    def of(self, position: int) -> slice:
        """The rows of a customer."""
        return slice(int(self.bounds[position]), int(self.bounds[position + 1]))


@dataclass
class Happenings(Table):
    """As `history.Happening`. `category` and `product` are ids of the batch's dictionary, 0 for none.

    `properties` are those free ones that were asked, by name, as far back as they were.
    """

    ts: Numbers
    since: Numbers | None = None
    until: Numbers | None = None
    value: Numbers | None = None
    quantity: Coded | None = None
    category: Numbers | None = None
    product: Numbers | None = None
    properties: Mapping[str, Coded] = field(default_factory=dict)

    def _documents(self, rows: slice) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = [{} for _ in range(rows.start, rows.stop)]
        for name, column in self.properties.items():
            for document, code in zip(found, column.codes[rows].tolist(), strict=True):
                if column.values[code] is not None:
                    document[name] = column.values[code]
        return found

    def list(self, position: int, texts: Mapping[int, str]) -> list[Happening]:
        """One customer's."""
        rows = self.of(position)
        ts = self.ts[rows].tolist()
        many = len(ts)
        return [
            Happening(*row)
            for row in zip(
                ts,
                self._documents(rows),
                [ALWAYS] * many if self.since is None else self.since[rows].tolist(),
                [NEVER] * many if self.until is None else self.until[rows].tolist(),
                [None] * many if self.value is None else self.value[rows].tolist(),
                [None] * many if self.quantity is None else map(self.quantity.at, range(rows.start, rows.stop)),
                [None] * many if self.product is None else map(texts.get, self.product[rows].tolist()),
                [None] * many if self.category is None else map(texts.get, self.category[rows].tolist()),
                strict=True,
            )
        ]


@dataclass
class RolledUps(Table):
    """As `history.RolledUp`; `category` is an id of the batch's dictionary, 0 for none."""

    category: Numbers
    property: Coded
    many: Numbers
    first: Numbers
    last: Numbers
    total: Coded
    least: Coded
    greatest: Coded

    def list(self, position: int, texts: Mapping[int, str]) -> list[RolledUp]:
        """One customer's."""
        rows = self.of(position)
        return [
            RolledUp(
                texts.get(int(self.category[row])),
                self.property.at(row),
                int(self.many[row]),
                int(self.first[row]),
                int(self.last[row]),
                self.total.at(row),
                self.least.at(row),
                self.greatest.at(row),
            )
            for row in range(rows.start, rows.stop)
        ]


@dataclass
class Lots(Table):
    """As `history.LotValue`."""

    since: Numbers
    until: Numbers
    expires_at: Numbers
    points: Numbers


@dataclass
class TierChanges(Table):
    """As `history.TierChange`, in ascending order of owner, `ts` (its `at`), `seq`."""

    ts: Numbers
    seq: Numbers
    tier: Coded


@dataclass
class Browsers(Table):
    """As `history.Reach`; `facts` by name."""

    created_at: Numbers
    ended_at: Numbers
    facts: Mapping[str, Coded]


@dataclass
class Messages(Table):
    """As `history.Sent`, of one outcome."""

    ts: Numbers
    since: Numbers
    until: Numbers
    campaign: Coded


@dataclass
class Batch:
    """The facts of some customers, as far as they were asked for.

    `ids` are the host's, ascending, each once; `known` is False for those whom the site does not have: no rule holds
    for them. `texts` is the dictionary of categories and products. A table is None, and a mapping has no entry, where
    nothing was asked; of an event's name that was asked there is a table even when nobody has any. In `rolled_up` are
    those names of whose deleted events somebody has something left.
    """

    ids: Numbers
    known: Truths
    texts: Mapping[int, str] = field(default_factory=dict)
    identities: Sequence[str] | None = None
    zones: Coded | None = None
    attributes: Mapping[str, Coded] = field(default_factory=dict)
    events: Mapping[str, Happenings] = field(default_factory=dict)
    rolled_up: Mapping[str, RolledUps] = field(default_factory=dict)
    orders: Happenings | None = None
    lines: Happenings | None = None
    lots: Lots | None = None
    tiers: TierChanges | None = None
    browsers: Browsers | None = None
    messages: Mapping[Outcome, Messages] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def history(self, position: int) -> History:
        """One customer's facts as the evaluator of single customers reads them."""
        attributes = {name: column.at(position) for name, column in self.attributes.items()}
        return History(
            identity="" if self.identities is None else self.identities[position],
            zone=None if self.zones is None else self.zones.at(position),
            attributes={name: value for name, value in attributes.items() if value is not None},
            events={name: table.list(position, self.texts) for name, table in self.events.items()},
            rolled_up={name: table.list(position, self.texts) for name, table in self.rolled_up.items()},
            orders=() if self.orders is None else self.orders.list(position, self.texts),
            lines=() if self.lines is None else self.lines.list(position, self.texts),
            points=() if self.lots is None else _lots(self.lots, position),
            tiers=() if self.tiers is None else _tiers(self.tiers, position),
            browsers=() if self.browsers is None else _browsers(self.browsers, position),
            messages={outcome: _messages(table, position) for outcome, table in self.messages.items()},
        )


def _lots(table: Lots, position: int) -> list[LotValue]:
    rows = table.of(position)
    columns = (table.since, table.until, table.expires_at, table.points)
    return [LotValue(*row) for row in zip(*(column[rows].tolist() for column in columns), strict=True)]


def _tiers(table: TierChanges, position: int) -> list[TierChange]:
    rows = table.of(position)
    return [
        TierChange(int(table.ts[row]), int(table.seq[row]), table.tier.at(row)) for row in range(rows.start, rows.stop)
    ]


def _browsers(table: Browsers, position: int) -> list[Reach]:
    rows = table.of(position)
    return [
        Reach(
            int(table.created_at[row]),
            int(table.ended_at[row]),
            {name: column.at(row) for name, column in table.facts.items()},
        )
        for row in range(rows.start, rows.stop)
    ]


def _messages(table: Messages, position: int) -> list[Sent]:
    rows = table.of(position)
    return [
        Sent(table.campaign.at(row), int(table.ts[row]), int(table.since[row]), int(table.until[row]))
        for row in range(rows.start, rows.stop)
    ]
