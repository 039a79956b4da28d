"""The next instant at which a customer can get into a rule or out of it by time alone.

Each leaf knows from its closed form until when its truth stands: the n-th newest event leaves the window, the gap since
the last one is over, the birthday ends. A conjunction that is false waits for the last of its false children, and one
that is true for the first of all; a disjunction the other way round. So an instant can come at which nothing changes,
but none is left out. From each such instant it is looked further ahead, so that what is returned is nearly always a
change, and can be told as one.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from segments.clock_customer import attribute, message, sample, subscribed, tier
from segments.clock_folds import edge, fold, points, rank
from segments.clock_history import order_gap, replenish, rfm
from segments.clock_sequence import sequence
from segments.clock_spans import Clock, State, all_of, any_of, opposite
from segments.core import (
    And,
    Attribute,
    Edge,
    Fold,
    Leaf,
    Member,
    Message,
    Node,
    Not,
    Or,
    OrderGap,
    Points,
    Rank,
    Replenish,
    Rfm,
    Sample,
    Sequence,
    Subscribed,
    Tier,
)
from segments.history import History, World, micros

_DOOMSDAY = micros(datetime(9900, 1, 1, tzinfo=UTC))  # dates that customers write may go further than the calendar
_FURTHEST = 32  # looks ahead: a birthday that contradicts itself changes nothing in any year

_CLOCKS: dict[type[Leaf], Callable[[Any], Clock]] = {
    Attribute: attribute,
    Fold: fold,
    Edge: edge,
    Sample: sample,
    OrderGap: order_gap,
    Rank: rank,
    Rfm: rfm,
    Replenish: replenish,
    Sequence: sequence,
    Message: message,
    Subscribed: subscribed,
    Points: points,
    Tier: tier,
}


def next_change(node: Node, history: History, world: World, at: int) -> int | None:
    """Microseconds since 1970, later than `at`; before it the truth stays as it is at `at`. None: for ever.

    Facts of the history that lie later than `at` are known, and count as what will happen. Thresholds, the catalogue
    and other segments' rules stand still. `world` must have what `memory.holds` needs.
    """
    state = clock_of(node)
    now, until = state(history, world, at)
    for _ in range(_FURTHEST):
        if until >= _DOOMSDAY:
            return None
        truth, following = state(history, world, until)
        if truth != now:
            break
        until = following
    return until


@lru_cache(maxsize=4096)
def clock_of(node: Node) -> Clock:
    """A function of (history, world, at): the truth, and until when it stands at least."""
    if isinstance(node, And | Or):
        join, children = all_of if isinstance(node, And) else any_of, [clock_of(child) for child in node.children]
        return lambda history, world, at: join(child(history, world, at) for child in children)
    if isinstance(node, Not):
        negated = clock_of(node.child)
        return lambda history, world, at: opposite(negated(history, world, at))
    if isinstance(node, Member):
        return _of_segment(node.segment)
    return _CLOCKS[type(node)](node)


def _of_segment(id: str) -> Clock:
    def state(history: History, world: World, at: int) -> State:
        return clock_of(world.segment(id))(history, world, at)

    return state
