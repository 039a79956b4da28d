"""The instants at which a customer's truth may change, told from his facts alone, and a walk along the clock's own."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from segments.clock import next_change
from segments.core import Leaf, OrderGap, Replenish, operands
from segments.edges import (
    AnniversaryEdge,
    DateEdge,
    ExpiryEdge,
    LifespanEdge,
    StreamEdge,
    TimeEdge,
    edges,
    needs_instant,
)
from segments.history import ALWAYS, NEVER, History, instant, micros
from segments.memory import holds
from segments.needs import everything
from segments.testing import Case
from segments.values import as_instant

DAY = micros(timedelta(days=1))


def lengths(node: Any) -> set[int]:
    """Every length of time that a node names."""
    if isinstance(node, timedelta):
        return {micros(node)}
    if isinstance(node, tuple):
        return {found for each in node for found in lengths(each)}
    if is_dataclass(node):
        return {found for each in fields(node) for found in lengths(getattr(node, each.name))}
    return set()


def facts(history: History) -> set[int]:
    """The instants of what the host knows to happen: the ones that no clock has to tell."""
    happened = [*history.orders, *history.lines, *(each for found in history.events.values() for each in found)]
    happened += [each for found in history.messages.values() for each in found]  # type: ignore[misc]
    known = {at for each in happened for at in (each.ts, each.since, each.until)}
    known |= {at for each in history.points for at in (each.since, each.until)}
    known |= {change.at for change in history.tiers}
    known |= {at for each in history.browsers for at in (each.created_at, each.ended_at)}
    return known - {ALWAYS, NEVER}


def written(history: History, zone: str) -> set[int]:
    """The instants that values write."""
    happened = [*history.orders, *history.lines, *(each for found in history.events.values() for each in found)]
    values = [*history.attributes.values(), *(value for each in happened for value in each.properties.values())]
    values += [value for each in history.browsers for value in each.facts.values()]
    values += [change.tier for change in history.tiers]
    return {at for value in values if (at := as_instant(value, zone)) is not None}


def midnights(start: int, end: int, zone: str) -> set[int]:
    """The quarters of an hour at which the local date changes."""
    quarter = DAY // 96
    first = start - start % quarter
    dates = [(at, instant(at).astimezone(ZoneInfo(zone)).date()) for at in range(first, end + quarter, quarter)]
    return {at for (_, earlier), (at, later) in pairwise(dates) if earlier != later}


def zone_of(case: Case) -> str:
    return case.history.zone if case.history.zone not in (None, "Nowhere/Never") else case.world.zone  # type: ignore[return-value]


def candidates(case: Case, end: int) -> list[int]:
    """Instants from `at` to `end` at which something can change, and their neighbours: all that adds up."""
    leaves = list(everything([case.node], case.world.segment))
    spans = {length for leaf in leaves for length in lengths(leaf)}
    ahead = written(case.history, case.world.zone) | {lot.expires_at for lot in case.history.points}
    if any(isinstance(leaf, Replenish) for leaf in leaves):
        ahead |= {line.ts + days * DAY for line in case.history.lines for days in case.world.lifespans.values()}
    near = facts(case.history) | ahead
    found = near | {at + length for at in near for length in spans} | {at - length for at in ahead for length in spans}
    found |= {at for leaf in leaves if isinstance(leaf, OrderGap) for at in _ratios(leaf, case.history)}
    if any(isinstance(edge, AnniversaryEdge) for leaf in leaves for edge in edges(leaf)):
        found |= midnights(case.at, end, zone_of(case))
    return sorted({each for at in found for each in (at - 1, at, at + 1) if case.at <= each <= end})


def _ratios(leaf: OrderGap, history: History) -> Iterator[int]:
    times = {order.ts for order in history.orders}
    for first in times:
        for last in times:
            for number in range(1, len(history.orders)):
                for ratio in operands(leaf.ratio):
                    yield int(last + Fraction(Decimal(ratio)) * abs(last - first) // number)


def changes(case: Case, end: int) -> tuple[list[tuple[int, bool]], int]:
    """(instant, truth from then on) as the clock tells them until `end`, and how often it had to be looked."""
    at, truth = case.at, holds(case.node, case.history, case.world, case.at)
    found, looks = [(at, truth)], 0
    while (following := next_change(case.node, case.history, case.world, at)) is not None and following <= end:
        assert following > at
        looks, at = looks + 1, following
        if holds(case.node, case.history, case.world, at) != truth:
            truth = not truth
            found.append((at, truth))
    return found, looks


def covered(leaf: Leaf, case: Case, at: int) -> bool:
    """Whether an edge of the leaf, or a stored instant, would have had the customer looked at."""
    return needs_instant(leaf) or on_edge(leaf, case, at)


def on_edge(leaf: Leaf, case: Case, at: int) -> bool:
    """Whether an edge of the leaf would have had the customer looked at."""
    return any(_crosses(edge, case, at) for edge in edges(leaf))


def _crosses(edge: TimeEdge, case: Case, at: int) -> bool:
    history = case.history
    if isinstance(edge, StreamEdge):
        happened = history.events.get(edge.name, ()) if edge.name else getattr(history, edge.stream)
        return any(each.ts + micros(edge.offset) == at for each in happened)
    if isinstance(edge, ExpiryEdge):
        return any(lot.expires_at - micros(edge.ahead) == at for lot in history.points)
    if isinstance(edge, LifespanEdge):
        lasting = [(line.ts, case.world.lifespans.get(line.product or "")) for line in history.lines]
        return any(days is not None and ts + days * DAY - micros(edge.ahead) == at for ts, days in lasting)
    if isinstance(edge, DateEdge):
        told = as_instant(history.attributes.get(edge.attribute), case.world.zone)
        return told is not None and told + micros(edge.offset) == at
    return _celebration_turns(edge, history.attributes[edge.attribute], zone_of(case), at)


def _celebration_turns(edge: AnniversaryEdge, born: str, zone: str, at: int) -> bool:
    before, day = (instant(each).astimezone(ZoneInfo(zone)).date() for each in (at - 1, at))
    celebrated = {f"{day + timedelta(days=edge.days):%m-%d}", f"{before:%m-%d}"}
    if "02-28" in celebrated:
        celebrated.add("02-29")
    return day != before and born[5:10] in celebrated
