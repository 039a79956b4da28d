"""What is asked of the customer himself, his points, browsers and messages, in memory.

`sql`, `sql_loyalty` and `sql_reach` say it in SQL.
"""

from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache
from hashlib import sha256
from typing import Any

from segments.calendar import celebrating, zones
from segments.core import HASHES, Attribute, Message, Op, Points, Sample, Subscribed, Test, Tier
from segments.history import History, TierChange, World, instant, micros
from segments.memory_leaf import Measured, asked
from segments.memory_rows import within
from segments.moments import is_day
from segments.values import compared, tested


def attribute(leaf: Attribute) -> Measured:
    """The attribute's value; of an anniversary, (value, the customer's zone)."""
    if leaf.test.op is Op.ANNIVERSARY_WITHIN:
        return _anniversary(leaf)
    passes, name = tested(leaf.test), leaf.name
    return Measured(
        lambda history, world, at: history.attributes.get(name),
        lambda value, world, at: passes(value, at, world.zone),
        threshold=_of_value(leaf.test),
    )


def _anniversary(leaf: Attribute) -> Measured:
    name, days = leaf.name, leaf.test.operand.days  # type: ignore[union-attr]

    def passes(born: tuple[Any, str | None], world: World, at: int) -> bool:
        value, zone = born
        if not isinstance(value, str) or not is_day(value):
            return False
        return value[5:10] in celebrating(_today(at, world.zone if zone not in zones() else zone), days)

    return Measured(
        lambda history, world, at: (history.attributes.get(name), history.zone),
        passes,
        lambda born, world: born[0],
        asked(leaf.test),
    )


@lru_cache(maxsize=4096)
def _today(at: int, zone: str) -> date:
    return instant(at).astimezone(zones()[zone]).date()


def _of_value(test: Test) -> Any:
    """The threshold of a value: of a length of time, the instants that it means."""
    if not isinstance(test.operand, timedelta):
        return asked(test)
    length = micros(test.operand)
    if test.op is Op.WITHIN_LAST:
        return lambda world, at: {"gt": instant(at - length), "lte": instant(at)}
    return lambda world, at: {"gt": instant(at), "lte": instant(at + length)}


def sample(leaf: Sample) -> Measured:
    """The customer's place among so many hashes; it never changes."""
    salt, bound = leaf.salt, leaf.bound

    def place(history: History, world: World, at: int) -> int:
        return int.from_bytes(sha256(f"{salt}:{history.identity}".encode()).digest()[:4])

    return Measured(
        place,
        lambda mine, world, at: mine < bound,
        lambda mine, world: Decimal(mine * 100) / HASHES,
        lambda world, at: {"lt": leaf.percent},
    )


def points(leaf: Points) -> Measured:
    """The points of the lots alive; of those that expire in time, if that is asked."""
    passes, ahead = compared(leaf.compare), None if leaf.within is None else micros(leaf.within)

    def balance(history: History, world: World, at: int) -> int:
        alive = (lot for lot in history.points if lot.since <= at < lot.until)
        if ahead is None:
            return sum(lot.points for lot in alive)
        return sum(lot.points for lot in alive if at < lot.expires_at <= at + ahead)

    return Measured(balance, lambda held, world, at: passes(held, 1), threshold=asked(leaf.compare))


def tier(leaf: Tier) -> Measured:
    """The tier of the newest change."""
    passes = tested(leaf.test)

    def newest(history: History, world: World, at: int) -> str | None:
        told = [change for change in history.tiers if change.at <= at]
        return max(told, key=_order).tier if told else None

    return Measured(newest, lambda value, world, at: passes(value, at, world.zone), threshold=_of_value(leaf.test))


def _order(change: TierChange) -> tuple[int, int]:
    return change.at, change.seq


def message(leaf: Message) -> Measured:
    """The newest instant of the outcome in the window."""
    cut, campaign = within(leaf.window), leaf.campaign

    def newest(history: History, world: World, at: int) -> int | None:
        stand = (each for each in cut(history.messages.get(leaf.outcome, ()), at) if each.since <= at < each.until)
        return max((each.ts for each in stand if campaign is None or each.campaign == campaign), default=None)

    return Measured(
        newest,
        lambda ts, world, at: ts is not None,
        lambda ts, world: None if ts is None else instant(ts),
    )


def subscribed(leaf: Subscribed) -> Measured:
    """How many active subscriptions pass all the tests."""
    tests = [(name, tested(test)) for name, test in leaf.facts]

    def fitting(history: History, world: World, at: int) -> int:
        active = (each.facts for each in history.browsers if each.created_at <= at < each.ended_at)
        return sum(all(passes(facts.get(name), at, world.zone) for name, passes in tests) for facts in active)

    return Measured(fitting, lambda number, world, at: number > 0, threshold=lambda world, at: {"gte": Decimal(1)})
