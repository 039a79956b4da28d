"""Where time alone can turn a leaf, told from the rule and not from a customer: so a tick can scan indexes for it.

A leaf that looks back 14 days can turn for those who did something exactly 14 days ago, whoever they are: a scan of
`(kind, ts)` from one tick's border to the next one's finds them, and nobody needs a timer of his own. What no index
can find has `needs_instant`: the host stores the instants that lie ahead of each customer (`sql_instants`).

Facts that lie ahead (`ts`, `since`, `until`, a tier's or a browser's instants) are the host's to look at when they
come, whatever the rule. What changes for everyone at once (thresholds, the catalogue) is no matter of time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from segments.core import (
    Attribute,
    Edge,
    Fold,
    Leaf,
    Message,
    Op,
    OrderGap,
    Points,
    Rank,
    Replenish,
    Sequence,
    Source,
    Stream,
    Subscribed,
    Test,
    Tier,
)

_NOW = timedelta(0)


@dataclass(frozen=True, slots=True)
class StreamEdge:
    """Something of the stream (of plain events: of this name) at `ts` can turn the leaf at `ts + offset`."""

    stream: Stream
    name: str
    offset: timedelta


@dataclass(frozen=True, slots=True)
class DateEdge:
    """An attribute that writes instant `v` can turn the leaf at `v + offset`, which may be negative or 0."""

    attribute: str
    offset: timedelta


@dataclass(frozen=True, slots=True)
class AnniversaryEdge:
    """An attribute's anniversary can turn the leaf at local midnights: `days` before it begins, and when it ends."""

    attribute: str
    days: int


@dataclass(frozen=True, slots=True)
class ExpiryEdge:
    """Points that expire at `e` can turn the leaf at `e - ahead`."""

    ahead: timedelta


@dataclass(frozen=True, slots=True)
class LifespanEdge:
    """A product whose lifespan ends at `e`, counted from a purchase, can turn the leaf at `e - ahead`."""

    ahead: timedelta


TimeEdge = StreamEdge | DateEdge | AnniversaryEdge | ExpiryEdge | LifespanEdge


def edges(leaf: Leaf) -> frozenset[TimeEdge]:
    """The edges that cover every turn of the leaf by time alone, but for those that `needs_instant` tells of.

    Of a segment that the rule names, ask its own leaves.
    """
    return frozenset(_edges(leaf))


def needs_instant(leaf: Leaf) -> bool:
    """Whether the leaf can turn at instants that no edge finds, since they hang on more than one fact."""
    if isinstance(leaf, OrderGap):
        return True
    if isinstance(leaf, Message):
        return leaf.window.within is not None
    if isinstance(leaf, Subscribed):
        return any(is_of_time(test) for _name, test in leaf.facts)
    if isinstance(leaf, Tier):
        return is_of_time(leaf.test)
    return any(is_of_time(test) for source in sources(leaf) for _name, test in source.where)


def sources(leaf: Leaf) -> Iterator[Source]:
    """The happenings that a leaf tests by their properties."""
    if isinstance(leaf, Fold | Edge | Rank):
        yield leaf.source
    elif isinstance(leaf, Sequence):
        yield from leaf.steps
        if leaf.absent is not None:
            yield leaf.absent


def is_of_time(test: Test) -> bool:
    """Whether a test compares with the current time."""
    return isinstance(test.operand, timedelta)


def _edges(leaf: Leaf) -> Iterator[TimeEdge]:
    if isinstance(leaf, Attribute):
        yield from _of_attribute(leaf)
    elif isinstance(leaf, Fold | Rank):
        yield from _leaving(leaf.source)
    elif isinstance(leaf, Edge):
        yield from _of_age(leaf)
    elif isinstance(leaf, Sequence):
        yield from _of_sequence(leaf)
    elif isinstance(leaf, Replenish):
        yield LifespanEdge(_NOW)
        yield LifespanEdge(leaf.within)
    elif isinstance(leaf, Points):
        yield ExpiryEdge(_NOW)
        if leaf.within is not None:
            yield ExpiryEdge(leaf.within)


def _of_attribute(leaf: Attribute) -> Iterator[TimeEdge]:
    span = leaf.test.operand
    if not isinstance(span, timedelta):
        return
    if leaf.test.op is Op.ANNIVERSARY_WITHIN:
        yield AnniversaryEdge(leaf.name, span.days)
    else:
        yield DateEdge(leaf.name, _NOW)
        yield DateEdge(leaf.name, span if leaf.test.op is Op.WITHIN_LAST else -span)


def _of_age(leaf: Edge) -> Iterator[TimeEdge]:
    """What leaves the window before it is `age` old is never old, and what is young alone never leaves it young."""
    source, within = leaf.source, leaf.source.window.within
    if within is not None and leaf.age >= within:
        if not leaf.older:
            yield from _leaving(source)
        return
    yield StreamEdge(source.stream, source.name, leaf.age)
    if leaf.older or not leaf.newest:
        yield from _leaving(source)


def _of_sequence(leaf: Sequence) -> Iterator[TimeEdge]:
    """Later steps leave their windows after the first has left its own, unless theirs are other windows.

    The absent step too: it counts only when it is later than the others.
    """
    first, last = leaf.steps[0], leaf.steps[-1]
    yield from _leaving(first)
    for source in sources(leaf):
        if source.window != first.window:
            yield from _leaving(source)
    if leaf.gap is not None:
        yield StreamEdge(last.stream, last.name, leaf.gap)


def _leaving(source: Source) -> Iterator[TimeEdge]:
    if source.window.within is not None:
        yield StreamEdge(source.stream, source.name, source.window.within)
