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
from segments.core import Leaf, OrderGap, operands
from segments.edges import AnniversaryEdge, DateEdge, ExpiryEdge, StreamEdge, TimeEdge, edges, needs_instant
from segments.history import ALWAYS, NEVER, History, World, instant, micros
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
    near = (
        facts(case.history) | written(case.history, case.world.zone) | {lot.expires_at for lot in case.history.points}
    )
    spans = {length for leaf in leaves for length in lengths(leaf)}
    days = {length * DAY for length in case.world.lifespans.values()}
    ends = near | {at + length for at in near for length in days}
    found = ends | {at + length for at in ends for length in spans} | {at - length for at in ends for length in spans}
    found |= {at for leaf in leaves if isinstance(leaf, OrderGap) for at in _ratios(leaf, case.history)}
    if case.at < end:
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


def covered(leaf: Leaf, history: History, world: World, zone: str, at: int) -> bool:
    """Whether an edge of the leaf, or a stored instant, would have had the customer looked at."""
    return needs_instant(leaf) or any(_crosses(edge, history, world, zone, at) for edge in edges(leaf))


def _crosses(edge: TimeEdge, history: History, world: World, zone: str, at: int) -> bool:
    if isinstance(edge, StreamEdge):
        streams: dict[str, Any] = {"orders": history.orders, "lines": history.lines}
        happened = streams.get(edge.stream, history.events.get(edge.name, ()))
        return any(each.ts + micros(edge.offset) == at for each in happened)
    if isinstance(edge, ExpiryEdge):
        return any(lot.expires_at - micros(edge.ahead) == at for lot in history.points)
    value = history.attributes.get(edge.attribute)
    if isinstance(edge, DateEdge):
        written_at = as_instant(value, world.zone)
        return written_at is not None and written_at + micros(edge.offset) == at
    assert isinstance(edge, AnniversaryEdge)
    day, before = (instant(each).astimezone(ZoneInfo(zone)).date() for each in (at, at - 1))
    months = {f"{day + timedelta(days=edge.days):%m-%d}", f"{day - timedelta(days=1):%m-%d}"}
    if months & {"02-28", "02-29"}:
        months |= {"02-28", "02-29"}
    return day != before and isinstance(value, str) and value[5:10] in months
