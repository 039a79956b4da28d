"""One customer's facts as the evaluators in memory read them; the host loads them.

Instants are whole microseconds since 1970-01-01 UTC, as PostgreSQL keeps them, so that comparing them is exact and
cheap. JSON numbers are `Decimal`, since money adds up in decimals. Lists of happenings are in ascending order of `ts`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from segments.core import Node, Outcome, Rank, Rfm

ALWAYS, NEVER = -(2**63), 2**63 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(span: datetime | timedelta) -> int:
    """An instant since 1970, or a length of time, in microseconds."""
    return (span - _EPOCH if isinstance(span, datetime) else span) // _MICROSECOND


def instant(at: int) -> datetime:
    """The instant of so many microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=at)


@dataclass(slots=True)
class Happening:
    """An event, an order or a line of one, as it stands from `since` until `until` (excluded).

    `value` in micros: an order's standing value, a line's price × quantity; of plain events it is not asked.
    `properties` are the event's, the order's, or the line's as they came; those of a line besides `category` (its
    own) and `product_id` may be asked, too. They are empty where the host was told that no rule asks for them.
    """

    ts: int
    properties: Mapping[str, Any]
    since: int = ALWAYS
    until: int = NEVER
    value: int | None = None
    quantity: Decimal | None = None
    product: str | None = None
    category: str | None = None


@dataclass(slots=True)
class RolledUp:
    """What deleted events of one category were added up to, or (`property`) the numbers of a property in them.

    `many` of them; the first of the events came at `first`, the last at `last`.
    """

    category: str | None
    property: str
    many: int
    first: int
    last: int
    total: Decimal | None = None
    least: Decimal | None = None
    greatest: Decimal | None = None


@dataclass(slots=True)
class LotValue:
    """What is unspent of a points lot from `since` until `until`; it expires at `expires_at`."""

    since: int
    until: int
    expires_at: int
    points: int


@dataclass(slots=True)
class TierChange:
    """From `at` on the tier is this one; of two at one instant the higher `seq` counts."""

    at: int
    seq: int
    tier: str | None


@dataclass(slots=True)
class Reach:
    """A browser subscribed from `created_at` until `ended_at`; `facts` as JSON: browser, locale, time_zone, topics…"""

    created_at: int
    ended_at: int
    facts: Mapping[str, Any]


@dataclass(slots=True)
class Sent:
    """A message of a campaign had its outcome at `ts`; `since` and `until` as for the order that it led to."""

    campaign: str
    ts: int
    since: int = ALWAYS
    until: int = NEVER


@dataclass(slots=True)
class History:
    """One customer. `identity` is the outside id (else the browser's) that samples are drawn by."""

    identity: str = ""
    zone: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    events: Mapping[str, Sequence[Happening]] = field(default_factory=dict)
    rolled_up: Mapping[str, Sequence[RolledUp]] = field(default_factory=dict)
    orders: Sequence[Happening] = ()
    lines: Sequence[Happening] = ()
    points: Sequence[LotValue] = ()
    tiers: Sequence[TierChange] = ()
    browsers: Sequence[Reach] = ()
    messages: Mapping[Outcome, Sequence[Sent]] = field(default_factory=dict)


def _no_segment(id: str) -> Node:
    raise KeyError(id)


@dataclass
class World:
    """What rules ask of the site besides the customer himself.

    `categories` and `lifespans` (days) are the catalogue's, by product id. `thresholds` of a rank: the worth of the
    last one still in (None: nobody is); of RFM: for each score asked, the lowest measures that reach 2, 3, 4 and 5
    (None: nobody does). Worths and measures are numbers as `sql_thresholds` gives them.
    """

    zone: str = "UTC"
    segment: Callable[[str], Node] = _no_segment
    categories: Mapping[str, str | None] = field(default_factory=dict)
    lifespans: Mapping[str, int] = field(default_factory=dict)
    thresholds: Mapping[Rank | Rfm, Any] = field(default_factory=dict)
