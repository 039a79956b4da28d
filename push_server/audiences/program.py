"""The rules of a site, read once: what each of them asks, and so which changes can touch it.

Reading a hundred rules takes longer than bringing them up to date, so they are remembered until one is edited.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from threading import Lock
from typing import Any

from sqlmodel import col, select

from push_server.audiences.models import Segment
from push_server.audiences.rules import SiteRules
from push_server.customers.changes import Kind
from push_server.db import SiteSession
from push_server.errors import HomingError
from segments.core import Leaf, Node, Outcome, Rank, Rfm
from segments.edges import AnniversaryEdge, DateEdge, TimeEdge, edges, needs_instant
from segments.keys import key_of
from segments.needs import Needs, everything, needs

log = logging.getLogger(__name__)

MOST_SITES = 200
Key = int | str
"""What a change is known by: an event's name, or a Kind."""


@dataclass(frozen=True, slots=True)
class Ruled:
    """A segment's rule. What is asked of it includes what is asked of the segments that it names."""

    segment_id: int
    node: Node
    reads: frozenset[Key]
    edges: frozenset[TimeEdge]
    borders: frozenset[Rank | Rfm]
    timed: frozenset[Leaf]
    asks_catalogue: bool


@dataclass(slots=True)
class Timed:
    """A condition whose turns are stored (see `turns`): what it is known by, what it reads, whom it concerns."""

    key: str
    reads: frozenset[Key]
    segments: set[int] = field(default_factory=set)


class Program:
    """All rules of a site that can be read, by segment; whom time touches by edge, and whom everyone by condition."""

    def __init__(self, rules: Iterable[Ruled], nodes: Mapping[str, Node]) -> None:
        self.rules = {rule.segment_id: rule for rule in rules}
        self._nodes = nodes
        self.edges: dict[TimeEdge, set[int]] = {}
        self.borders: dict[Rank | Rfm, set[int]] = {}
        self.timed: dict[Leaf, Timed] = {}
        self._readers: dict[Key, set[int]] = {}
        for rule in self.rules.values():
            for edge in rule.edges:
                self.edges.setdefault(edge, set()).add(rule.segment_id)
            for leaf in rule.borders:
                self.borders.setdefault(leaf, set()).add(rule.segment_id)
            for timed in rule.timed:
                if timed not in self.timed:
                    self.timed[timed] = Timed(*known_by(timed))
                self.timed[timed].segments.add(rule.segment_id)
            for key in rule.reads:
                self._readers.setdefault(key, set()).add(rule.segment_id)

    @property
    def dates(self) -> set[str]:
        """The attributes whose dates time passes."""
        return {edge.attribute for edge in self.edges if isinstance(edge, DateEdge | AnniversaryEdge)}

    def segment(self, id: str) -> Node:
        """The rule of the segment with this outside id."""
        return self._nodes[id]

    def touched(self, keys: Iterable[Key]) -> set[int]:
        """The segments that changes of these kinds can touch."""
        found: set[int] = set()
        for key in keys:
            if key == Kind.EVERYTHING:
                return set(self.rules)
            found |= self._readers.get(key, set())
        return found


_programs: OrderedDict[tuple[Any, int], tuple[tuple[int, str], Program]] = OrderedDict()
"""By database and site."""
_lock = Lock()


def program_of(session: SiteSession, edits: int, zone: str) -> Program:
    """The session's site's program. `edits` and `zone` tell whether the one that is remembered still holds."""
    version, whose = (edits, zone), (session.get_bind(), session.site_id)
    with _lock:
        known = _programs.get(whose)
        if known is not None and known[0] == version:
            _programs.move_to_end(whose)
            return known[1]
    program = _read(session)
    with _lock:
        _programs[whose] = (version, program)
        while len(_programs) > MOST_SITES:
            _programs.popitem(last=False)
    return program


def _read(session: SiteSession) -> Program:
    rules, nodes, found = SiteRules(session), dict[str, Node](), []
    for segment in session.exec(select(Segment).order_by(col(Segment.id))):
        assert segment.id is not None
        try:
            node = rules.parse(segment.rule).lower()
            rule = ruled(segment.id, node, rules.node)
        except HomingError as error:  # as of a rule that was stored by an earlier version
            log.warning("the rule of segment %s cannot be read, so its members stay as they are: %s", segment.id, error)
            continue
        nodes[str(segment.public_id)] = node
        found.append(rule)
    return Program(found, nodes)


def ruled(segment_id: int, node: Node, segment: Callable[[str], Node]) -> Ruled:
    """What is asked of a rule; `segment` gives the rules that it names."""
    leaves = list(everything([node], segment))
    asked = needs([node], segment)
    return Ruled(
        segment_id,
        node,
        reads=reads(asked),
        edges=frozenset(edge for leaf in leaves for edge in edges(leaf)),
        borders=frozenset(leaf for leaf in leaves if isinstance(leaf, Rank | Rfm)),
        timed=frozenset(filter(needs_instant, leaves)),
        asks_catalogue=asked.lines is not None,
    )


@lru_cache(maxsize=4096)
def known_by(leaf: Leaf) -> tuple[str, frozenset[Key]]:
    """The key of a condition that names no segment, and the changes that can touch it."""
    return key_of(leaf), reads(needs([leaf], _no_segment))


def _no_segment(id: str) -> Any:
    raise AssertionError(f"such a condition names no segment, but {id}")


def reads(asked: Needs) -> frozenset[Key]:
    """The changes that can touch what reads these facts. Samples go by identity, which changes with everything."""
    by_kind = {
        Kind.ORDERS: asked.orders is not None or asked.lines is not None or Outcome.CONVERTED in asked.outcomes,
        Kind.ATTRIBUTES: bool(asked.attributes),
        Kind.LOYALTY: asked.points or asked.tiers,
        Kind.SUBSCRIPTION: asked.browsers,
        Kind.MESSAGE: bool(asked.outcomes),
    }
    return frozenset({*asked.events, *(kind for kind, is_asked in by_kind.items() if is_asked)})
