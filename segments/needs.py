"""Which facts a rule reads: what the host loads for it, and which changes can touch it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from segments.core import (
    Attribute,
    Edge,
    Fold,
    Function,
    Leaf,
    Member,
    Message,
    Node,
    Op,
    OrderGap,
    Outcome,
    Points,
    Rank,
    Replenish,
    Rfm,
    Sample,
    Sequence,
    Source,
    Stream,
    Subscribed,
    Test,
    Tier,
    leaves,
    operands,
)
from segments.names import ORDER_VALUE

# What stands in columns of its own. Of events that is a category that is text, whatever else it may be.
_NARROW = {Stream.EVENTS: (), Stream.ORDERS: (), Stream.LINES: ("category", "product_id", "revenue", "quantity")}


@dataclass(slots=True)
class Needs:
    """Facts by kind. Of `events` (by name), `orders` and `lines` True means that free properties are asked, too.

    `orders` and `lines` are None where nothing is asked of them. `reach` says how far back events are asked, by name;
    None: through all the past.
    """

    events: dict[str, bool] = field(default_factory=dict)
    reach: dict[str, timedelta | None] = field(default_factory=dict)
    orders: bool | None = None
    lines: bool | None = None
    attributes: set[str] = field(default_factory=set)
    points: bool = False
    tiers: bool = False
    browsers: bool = False
    outcomes: set[Outcome] = field(default_factory=set)
    identity: bool = False

    def add(self, leaf: Leaf) -> None:
        """What one leaf reads; of another segment's membership nothing, see `everything`."""
        for source, asked in _sources(leaf):
            self._add_source(source, asked)
            if source.stream is Stream.EVENTS:
                self._add_reach(source.name, source.window.within)
        if isinstance(leaf, Attribute):
            self.attributes.add(leaf.name)
        elif isinstance(leaf, Points):
            self.points = True
        elif isinstance(leaf, Tier):
            self.tiers = True
        elif isinstance(leaf, Subscribed):
            self.browsers = True
        elif isinstance(leaf, Message):
            self.outcomes.add(leaf.outcome)
        elif isinstance(leaf, Sample):
            self.identity = True

    def _add_reach(self, name: str, back: timedelta | None) -> None:
        known = self.reach.get(name, back)
        self.reach[name] = None if known is None or back is None else max(known, back)

    def _add_source(self, source: Source, asked: Iterable[str]) -> None:
        tested = {name for name, test in source.where if not _is_by_text(source.stream, name, test)}
        free = bool((tested | set(asked)) - set(_NARROW[source.stream]))
        if source.stream is Stream.EVENTS:
            self.events[source.name] = self.events.get(source.name, False) or free
        elif source.stream is Stream.ORDERS:
            self.orders = bool(self.orders) or free
        else:
            self.lines = bool(self.lines) or free


def _is_by_text(stream: Stream, name: str, test: Test) -> bool:
    """Whether a test of an event's category is false (or `ne` true) of all that is no text."""
    listed = all(isinstance(each, str) for each in operands(test))
    by_text = test.op in (Op.EQ, Op.NE, Op.IN, Op.NOT_IN) and listed
    return stream is Stream.EVENTS and name == "category" and by_text


def needs(nodes: Iterable[Node], segment: Callable[[str], Node]) -> Needs:
    """What these rules read, those of the segments that they name included."""
    found = Needs()
    for leaf in everything(nodes, segment):
        found.add(leaf)
    return found


def everything(nodes: Iterable[Node], segment: Callable[[str], Node]) -> Iterator[Leaf]:
    """Every leaf of the rules, and of the segments that they name, each segment once."""
    seen: set[str] = set()
    waiting = list(nodes)
    while waiting:
        for leaf in leaves(waiting.pop()):
            yield leaf
            if isinstance(leaf, Member) and leaf.segment not in seen:
                seen.add(leaf.segment)
                waiting.append(segment(leaf.segment))


def _sources(leaf: Leaf) -> Iterator[tuple[Source, tuple[str, ...]]]:
    """The happenings that a leaf looks at, and the properties that it asks besides `where`."""
    if isinstance(leaf, Fold | Rank):
        is_value = leaf.source.stream is Stream.ORDERS and leaf.of in ORDER_VALUE
        stored = is_value and leaf.function is not Function.DISTINCT
        yield leaf.source, () if leaf.of is None or stored else (leaf.of,)
    elif isinstance(leaf, Edge):
        yield leaf.source, ()
    elif isinstance(leaf, Sequence):
        same = () if leaf.same is None else (leaf.same,)
        for step in (*leaf.steps, *(() if leaf.absent is None else (leaf.absent,))):
            yield step, same
    elif isinstance(leaf, OrderGap | Rfm):
        yield Source(Stream.ORDERS), ()
    elif isinstance(leaf, Replenish):
        yield Source(Stream.LINES), ()
