"""When conditions over a whole history can turn a leaf."""

from collections import defaultdict
from datetime import timedelta
from itertools import pairwise

from segments.clock_spans import Alive, Clock, Span, State, borders, lifetimes, of_union, stepping
from segments.core import OrderGap, Replenish, Rfm, Source, Stream, operands
from segments.history import NEVER, History, World, micros
from segments.memory import truth_of

_DAY = micros(timedelta(days=1))


def order_gap(leaf: OrderGap) -> Clock:
    """With the same orders, only where the time since the last one reaches the ratio that is asked, or passes it."""
    find, truth = lifetimes(Source(Stream.ORDERS)), truth_of(leaf)
    ratios = [each.as_integer_ratio() for each in operands(leaf.ratio)]

    def state(history: History, world: World, at: int) -> State:
        orders = find(history, world, at)
        turns = set(borders(orders, at))
        for start, end in pairwise((at, *sorted(turns), NEVER)):
            times = [order.ts for since, until, order in orders if since <= start < until]
            if len(times) > 1:
                for ratio, unit in ratios:
                    reached = times[-1] + ratio * (times[-1] - times[0]) // (unit * (len(times) - 1))
                    turns.update(each for each in (reached, reached + 1) if start < each < end)
        return stepping(truth, sorted(turns), history, world, at)

    return state


def rfm(leaf: Rfm) -> Clock:
    """The customer's own measures against thresholds that stand still: only as orders begin or cease to stand."""
    find, truth = lifetimes(Source(Stream.ORDERS)), truth_of(leaf)
    return lambda history, world, at: stepping(truth, borders(find(history, world, at), at), history, world, at)


def replenish(leaf: Replenish) -> Clock:
    """For each product, from so long before the end of its lifespan until that."""
    find, ahead = lifetimes(Source(Stream.LINES)), micros(leaf.within)

    def state(history: History, world: World, at: int) -> State:
        bought: dict[str, list[Alive]] = defaultdict(list)
        for each in find(history, world, at):
            product = each.happening.product
            if product is not None and product in world.lifespans:
                bought[product].append(each)
        spans: list[Span] = []
        for product, lines in bought.items():
            lifespan = world.lifespans[product] * _DAY
            for start, end in pairwise((at, *borders(lines, at), NEVER)):
                newest = max((line.ts for since, until, line in lines if since <= start < until), default=None)
                if newest is not None:
                    spans.append((max(start, newest + lifespan - ahead), min(end, newest + lifespan)))
        return of_union(spans, at)

    return state
