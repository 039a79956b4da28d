"""Cases by chance for what must agree about rules: a rule, a customer whose facts lie on the edges of it, an instant.

A case follows from its `random.Random` alone, so that a test that fails can name the seed. The rules are drawn in core
nodes (`testing_nodes`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from random import Random
from typing import Any

from segments import core
from segments.core import Function, Outcome, Score, Stream
from segments.history import (
    ALWAYS,
    NEVER,
    Happening,
    History,
    LotValue,
    Reach,
    Sent,
    TierChange,
    World,
    instant,
    micros,
)
from segments.names import ORDER_VALUE
from segments.needs import everything
from segments.testing_nodes import NAMES, NUMBERS, STEP, TEXTS, Nodes, moment

# Around these the clocks change somewhere, or a year has a 29 February, or lacks one.
NOONS = [datetime(*day, 12, tzinfo=UTC) for day in ((2026, 3, 28), (2026, 10, 24), (2028, 2, 28), (2027, 2, 27))]
ZONES = ["UTC", "Europe/Budapest", "America/Los_Angeles", "Pacific/Auckland", "America/Nuuk", "Africa/Cairo"]
PRODUCTS = ["p1", "p2"]
BIRTHDAYS = ["1992-02-29", "1990-02-28", "1991-03-01", "1985-03-29", "1985-03-30", "2000-10-25T23:00:00Z", "1990-02-30"]
_WRITTEN = ["%Y-%m-%dT%H:%M:%S.%fZ", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"]


@dataclass(slots=True)
class Case:
    """A rule, a customer, the site, and when the rule is asked about him (microseconds)."""

    node: core.Node
    history: History
    world: World
    at: int


def case(chance: Random) -> Case:
    """A rule of up to four leaves of all kinds, and a history with facts before and after the instant."""
    noon = micros(chance.choice(NOONS))
    rules, segments = Nodes(chance, noon), {}
    for name, members in (("s1", ()), ("s2", ("s1",))):
        segments[name] = rules.tree(2, members)
    node = rules.tree(chance.choice([1, 2, 2, 3, 4]), tuple(segments))
    world = World(
        zone=chance.choice(ZONES),
        segment=segments.__getitem__,
        categories={product: chance.choice([*TEXTS, None]) for product in PRODUCTS if chance.random() < 0.7},
        lifespans={product: chance.choice([1, 2, 3]) for product in PRODUCTS if chance.random() < 0.9},
    )
    facts = _Facts(chance, noon)
    world.thresholds = {
        leaf: facts.thresholds(leaf)
        for leaf in everything([node], segments.__getitem__)
        if isinstance(leaf, core.Rank | core.Rfm)
    }
    return Case(node, facts.history(), world, chance.choice([noon, moment(chance, noon - 48 * STEP)]))


class _Facts:
    """Draws a customer."""

    def __init__(self, chance: Random, noon: int) -> None:
        self.chance, self.noon = chance, noon
        self.choice = chance.choice

    def history(self) -> History:
        """A few facts of each kind, in order; some lie ahead of most instants."""
        attributes: dict[str, Any] = {name: self.value() for name in ("a", "b") if self.chance.random() < 0.8}
        return History(
            identity=self.choice(["", "x1", "x2"]),
            zone=self.choice([None, "Nowhere/Never", *ZONES]),
            attributes=attributes | {"born": self.choice(BIRTHDAYS)},
            events={name: self.in_order(self.happening) for name in NAMES},
            orders=self.in_order(self.order),
            lines=self.in_order(self.line),
            points=[self.lot() for _ in range(self.chance.randint(0, 3))],
            tiers=[TierChange(self.at(), seq, self.tier()) for seq in range(self.chance.randint(0, 3))],
            browsers=[self.browser() for _ in range(self.chance.randint(0, 2))],
            messages={outcome: self.in_order(self.message, 2) for outcome in Outcome},
        )

    def in_order(self, draw: Callable[[], Any], most: int = 5) -> list[Any]:
        return sorted((draw() for _ in range(self.chance.randint(0, most))), key=lambda fact: fact.ts)

    def at(self) -> int:
        return moment(self.chance, self.noon)

    def some_steps(self) -> int:
        return self.chance.randint(1, 96) * STEP

    def value(self) -> Any:
        """JSON, most of it instants as customers' data write them: exact, local, or a date."""
        if self.chance.random() < 0.7:
            return instant(self.at()).strftime(self.choice(_WRITTEN))
        return self.choice([*TEXTS, *NUMBERS, True, ["dog"], None])

    def tier(self) -> str | None:
        value = self.value()
        return value if isinstance(value, str) else None

    def happening(self) -> Happening:
        properties = {"p": self.value(), "q": self.choice(NUMBERS), "when": self.value()}
        properties |= {"revenue": self.choice(NUMBERS), "category": self.value()}
        known = {name: value for name, value in properties.items() if self.chance.random() < 0.8}
        return Happening(self.at(), known)

    def order(self) -> Happening:
        """A version of one: it begins with the order, or later, and ends some time or not at all."""
        found = self.happening()
        found.since, found.until = self.standing(found.ts)
        found.value = int(max(self.choice(NUMBERS), Decimal(0)) * 10**6)
        return found

    def line(self) -> Happening:
        found = self.order()
        found.quantity, found.product = self.choice(NUMBERS), self.choice([*PRODUCTS, None])
        found.category = self.choice([*TEXTS, None])
        return found

    def standing(self, ts: int) -> tuple[int, int]:
        since = ts if self.chance.random() < 0.7 else ts + self.some_steps()
        return since, NEVER if self.chance.random() < 0.6 else since + self.some_steps()

    def lot(self) -> LotValue:
        """It stands until it expires, or until something is drawn from it."""
        since = self.at()
        expires_at = NEVER if self.chance.random() < 0.3 else since + self.some_steps()
        until = expires_at if self.chance.random() < 0.5 else min(expires_at, since + self.some_steps())
        return LotValue(since, until, expires_at, self.chance.randint(1, 4))

    def browser(self) -> Reach:
        created_at = self.at()
        told = instant(created_at).strftime(_WRITTEN[0])
        facts = {"created_at": told, "topics": self.chance.sample(TEXTS, 2), "browser": self.value()}
        return Reach(created_at, NEVER if self.chance.random() < 0.5 else created_at + self.some_steps(), facts)

    def message(self) -> Sent:
        ts = self.at()
        stands = (ALWAYS, NEVER) if self.chance.random() < 0.5 else self.standing(ts)
        return Sent(self.choice(["c1", "c2"]), ts, *stands)

    def thresholds(self, leaf: core.Rank | core.Rfm) -> Any:
        """In the units of `sql_thresholds`."""
        if isinstance(leaf, core.Rfm):
            return [sorted(self.measure(score) for _ in range(4)) for score, _test in leaf.scores]
        in_micros = leaf.of in ORDER_VALUE and leaf.source.stream is not Stream.EVENTS
        scale = (10**6 if in_micros else 1) * (10**40 if leaf.function is Function.AVG else 1)
        return self.choice([None, *(number * scale for number in NUMBERS)])

    def measure(self, score: Score) -> int:
        if score is Score.RECENCY:
            return self.at()
        return self.chance.randint(1, 4) * (10**6 if score is Score.MONETARY else 1)
