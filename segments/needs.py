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
    Tier,
    is_by_text,
    leaves,
)
from segments.names import ORDER_VALUE
from segments.rollups import reads_rollups
from segments.sql_pass import splits_at_one

# What stands in columns of its own. Of events that is a category that is text, whatever else it may be.
# A line's quantity does, too, but in no index, so it is loaded only where it is asked like a free one.
_NARROW = {Stream.EVENTS: (), Stream.ORDERS: (), Stream.LINES: ("category", "product_id", "revenue")}
_NOW = timedelta(0)


@dataclass(slots=True)
class Needs:
    """Facts by kind. Of `events` (by name), `orders` and `lines` those free properties that are asked, too.

    `orders` and `lines` are None where nothing is asked of them. `reach` says how far back events are asked, by name,
    and `free_reach` how far back their free properties are; None: through all the past. Of the names in `oldest` and
    `newest` the customer's first event and his last one up to now are asked wherever they lie. Of the names in
    `rolled_up` it is also asked what deleted events were added up to.
    """

    events: dict[str, set[str]] = field(default_factory=dict)
    reach: dict[str, timedelta | None] = field(default_factory=dict)
    free_reach: dict[str, timedelta | None] = field(default_factory=dict)
    oldest: set[str] = field(default_factory=set)
    newest: set[str] = field(default_factory=set)
    rolled_up: set[str] = field(default_factory=set)
    orders: set[str] | None = None
    lines: set[str] | None = None
    attributes: set[str] = field(default_factory=set)
    points: bool = False
    tiers: bool = False
    browsers: bool = False
    outcomes: set[Outcome] = field(default_factory=set)
    identity: bool = False

    @property
    def narrow(self) -> set[str]:
        """The names of which events are asked farther back than their free properties, if these are asked at all."""
        return {name for name, back in self.reach.items() if self.free_reach.get(name, _NOW) != back}

    def add(self, leaf: Leaf, *, for_truth: bool = False) -> None:
        """What one leaf reads, or as much of it as tells its truth at one instant.

        Of another segment's membership that is nothing, see `everything`.
        """
        if not for_truth or not self._add_ends(leaf):
            for source, asked in sources(leaf):
                self._add_source(source, asked)
        if isinstance(leaf, Fold | Edge) and reads_rollups(leaf):
            self.rolled_up.add(leaf.source.name)
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

    def _add_ends(self, leaf: Leaf) -> bool:
        """Of all the past of a name, only the first or the last one tells the truth of some leaves."""
        if not isinstance(leaf, Fold | Edge) or leaf.source != Source(Stream.EVENTS, leaf.source.name):
            return False
        name, reach = leaf.source.name, _NOW
        if isinstance(leaf, Fold):
            if not splits_at_one(leaf):
                return False
            self.oldest.add(name)
        elif not leaf.newest:
            self.oldest.add(name)
        elif leaf.older:
            self.newest.add(name)
        else:
            reach = leaf.age
        self.events.setdefault(name, set())
        _farther(self.reach, name, reach)
        return True

    def _add_source(self, source: Source, asked: Iterable[str]) -> None:
        tested = {name for name, test in source.where if not is_by_text(source.stream, name, test)}
        free = (tested | set(asked)) - set(_NARROW[source.stream])
        if source.stream is Stream.ORDERS:
            self.orders = free | (self.orders or set())
        elif source.stream is Stream.LINES:
            self.lines = free | (self.lines or set())
        else:
            self.events.setdefault(source.name, set()).update(free)
            _farther(self.reach, source.name, source.window.within)
            if free:
                _farther(self.free_reach, source.name, source.window.within)


def _farther(reach: dict[str, timedelta | None], name: str, back: timedelta | None) -> None:
    known = reach.get(name, back)
    reach[name] = None if known is None or back is None else max(known, back)


def needs(nodes: Iterable[Node], segment: Callable[[str], Node], *, for_truth: bool = False) -> Needs:
    """What these rules read, those of the segments that they name included.

    `for_truth`: what tells who is in at one instant, but not always what was observed, nor when that changes.
    """
    found = Needs()
    for leaf in everything(nodes, segment):
        found.add(leaf, for_truth=for_truth)
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


def sources(leaf: Leaf) -> Iterator[tuple[Source, tuple[str, ...]]]:
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
