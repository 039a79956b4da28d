"""The shop that segments are measured on: customers, sessions, events, orders and points, drawn from a seed.

Columns of NumPy, since 20 million events are drawn here: who comes often follows a power law, as do categories and
products; events come in sessions (looking, sometimes the cart, sometimes an order); half of the customers come for a
part of the time only. Times are microseconds since 2000, as PostgreSQL keeps them, and end at END.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

CUSTOMERS, EVENTS, DAYS = 1_000_000, 20_000_000, 730
"""At scale 1."""
END = datetime(2026, 6, 1, 12, tzinfo=UTC)
NOW = END + timedelta(minutes=1)
"""The instant that rules are asked about."""
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
MICROS = 1_000_000
DAY = 86_400 * MICROS
NONE, FOREVER = -1, 2**63 - 1

VIEWED, LISTED, SEARCHED, ADDED, CART, CHECKOUT, ORDERED = range(7)
KINDS = (
    "Product Viewed",
    "Product List Viewed",
    "Products Searched",
    "Product Added",
    "Cart Viewed",
    "Checkout Started",
    "Order Completed",
)
CATEGORIES = ("dog", "cat", "bird", "fish", "horse", *(f"shelf {number}" for number in range(35)))
PRODUCTS = 5_000
_A_SESSION = 8.05  # events, on average
_SEED = 20_260_601

Ints = NDArray[np.int64]


@dataclass(slots=True)
class Events:
    """In order of time; categories and products as indexes, NONE where there is none; `customer` is a row number."""

    kind: Ints
    customer: Ints
    ts: Ints
    value: Ints
    product: Ints
    category: Ints


@dataclass(slots=True)
class Orders:
    """An order's row is its place here; `event` its event's place among the events, `until` when it was cancelled."""

    customer: Ints
    ts: Ints
    value: Ints
    until: Ints
    event: Ints


@dataclass(slots=True)
class Lines:
    """`own` says whether the line named its category itself; where it did not, the catalogue's counts."""

    order: Ints
    product: Ints
    quantity: Ints
    amount: Ints
    own: NDArray[np.bool_]


@dataclass(slots=True)
class Points:
    """Versions of lots, as `points_value` has them."""

    lot: Ints
    customer: Ints
    since: Ints
    until: Ints
    expires: Ints
    points: Ints


@dataclass(slots=True)
class Shop:
    """All of it. `birthday` is days since 1970, NONE where nobody knows."""

    customers: int
    birthday: Ints
    country: Ints
    price: Ints
    events: Events
    orders: Orders
    lines: Lines
    points: Points


def draw(scale: float) -> Shop:
    """The shop at this scale, the same one every time; at scale 1 it takes a quarter of a minute and 3 GB."""
    chance = np.random.default_rng(_SEED)
    customers, wanted = customers_at(scale), max(int(EVENTS * scale), 1000)
    price = np.round(np.exp(chance.normal(3.4, 0.8, PRODUCTS)) * 100).astype(np.int64) * (MICROS // 100)
    sessions = _Sessions(chance, customers, wanted)
    events, ordering = sessions.events()
    lines, value = _lines(chance, sessions.category[ordering], price)
    orders, events = _in_order(chance, events, value)
    birthday = chance.integers(-14_600, 13_500, customers)
    birthday[chance.random(customers) < 0.4] = NONE
    country = np.minimum(_power(chance, customers, 12, 2.5), 11)
    points = _points(chance, customers)
    return Shop(customers, birthday, country, price, events, orders, lines, points)


def customers_at(scale: float) -> int:
    """How many customers there are."""
    return max(int(CUSTOMERS * scale), 50)


def category_of(product: Ints) -> Ints:
    """The catalogue's category of a product."""
    return product % len(CATEGORIES)


def since_2000(at: datetime) -> int:
    """An instant in microseconds since 2000."""
    return (at - EPOCH) // timedelta(microseconds=1)


class _Sessions:
    def __init__(self, chance: np.random.Generator, customers: int, wanted: int) -> None:
        self.chance = chance
        number = int(wanted / _A_SESSION * 1.1) + 50
        activity = np.cumsum((np.arange(customers) + customers * 0.01) ** -0.8)
        rank = np.searchsorted(activity, chance.random(number) * activity[-1])
        self.customer = chance.permutation(customers)[rank]
        self.start = self._starts(customers)[0:number]
        self.category = _power(chance, number, len(CATEGORIES), 2.0)
        adds = (chance.random(number) < 0.5) * (1 + chance.poisson(0.4, number))
        checkouts = (adds > 0) & (chance.random(number) < 0.7)
        self.counts = {
            VIEWED: chance.geometric(0.2, number),
            LISTED: chance.poisson(1.0, number),
            SEARCHED: chance.random(number) < 0.4,
            ADDED: adds,
            CART: (adds > 0) & (chance.random(number) < 0.6),
            CHECKOUT: checkouts,
            ORDERED: checkouts & (chance.random(number) < 0.75),
        }
        self._cut(wanted)

    def _starts(self, customers: int) -> Ints:
        """Half of the customers come all the time, half from some day on for some two hundred days."""
        chance, span = self.chance, DAYS * DAY - 3600 * MICROS
        first = np.where(chance.random(customers) < 0.5, 0.0, chance.random(customers) * span)
        last = np.where(first == 0, span, np.minimum(first + chance.exponential(200 * DAY, customers), span))
        share = chance.random(self.customer.size)
        began = first[self.customer] + share * (last - first)[self.customer]
        return began.astype(np.int64) + since_2000(END) - DAYS * DAY

    def _cut(self, wanted: int) -> None:
        """As many sessions as make just the events that are wanted, the last one with some views more."""
        sizes = np.sum([each.astype(np.int64) for each in self.counts.values()], axis=0)
        number = int(np.searchsorted(np.cumsum(sizes), wanted, side="right"))
        self.counts = {kind: each[:number].astype(np.int64) for kind, each in self.counts.items()}
        self.counts[VIEWED][-1] += wanted - int(sizes[:number].sum())
        self.customer, self.start, self.category = self.customer[:number], self.start[:number], self.category[:number]

    def events(self) -> tuple[Events, Ints]:
        """All events, kind after kind, and the session of each order."""
        chance, parts = self.chance, []
        begins = {VIEWED: 0, LISTED: 0, SEARCHED: 0, ADDED: 600, CART: 750, CHECKOUT: 850, ORDERED: 950}
        for kind, count in self.counts.items():
            session = np.repeat(np.arange(count.size), count)
            lasts = (120 if begins[kind] else 600) * MICROS
            ts = self.start[session] + begins[kind] * MICROS + chance.integers(0, lasts, session.size)
            product = np.full(session.size, NONE)
            category = np.full(session.size, NONE)
            if kind in (VIEWED, ADDED):
                product = products_like(chance, self.category[session])
                category = category_of(product)
            elif kind == LISTED:
                category = self.category[session]
            blank = np.full(session.size, NONE)
            parts.append(Events(np.full(session.size, kind), self.customer[session], ts, blank, product, category))
        columns = [np.concatenate([getattr(part, name) for part in parts]) for name in Events.__slots__]
        return Events(*columns), np.flatnonzero(self.counts[ORDERED])


def products_like(chance: np.random.Generator, category: Ints) -> Ints:
    """Products, most of them of the category that the session is about."""
    shelf = PRODUCTS // len(CATEGORIES)
    strays = chance.random(category.size) < 0.2
    about = np.where(strays, chance.integers(0, len(CATEGORIES), category.size), category)
    return _power(chance, category.size, shelf, 2.0) * len(CATEGORIES) + about


def _lines(chance: np.random.Generator, category: Ints, price: Ints) -> tuple[Lines, Ints]:
    """The lines of orders that are about these categories, and each order's value."""
    count = np.minimum(chance.geometric(0.6, category.size), 5)
    order = np.repeat(np.arange(category.size), count)
    product = products_like(chance, category[order])
    quantity = np.minimum(chance.geometric(0.7, order.size), 3)
    amount = price[product] * quantity
    value = np.bincount(order, weights=amount, minlength=category.size).astype(np.int64)
    return Lines(order, product, quantity, amount, chance.random(order.size) < 0.9), value


def _in_order(chance: np.random.Generator, events: Events, value: Ints) -> tuple[Orders, Events]:
    """Events by time; orders, which came last among them, with what became of each: one in fifty is cancelled."""
    first = events.ts.size - value.size
    events.value[first:] = value
    by_time = np.argsort(events.ts, kind="stable")
    place = np.empty_like(by_time)
    place[by_time] = np.arange(by_time.size)
    ts = events.ts[first:]
    cancelled = chance.random(value.size) < 0.02
    until = np.where(cancelled, ts + chance.integers(1, 10 * DAY, value.size), FOREVER)
    orders = Orders(events.customer[first:], ts, value, until, place[first:])
    return orders, Events(*(getattr(events, name)[by_time] for name in Events.__slots__))


def _points(chance: np.random.Generator, customers: int) -> Points:
    """A quarter of the customers collect; lots last a year, and one in five is half spent, some days later."""
    members = chance.permutation(customers)[: customers // 4]
    customer = np.repeat(members, np.minimum(chance.geometric(0.4, members.size), 8))
    earned = since_2000(END) - chance.integers(0, DAYS * DAY, customer.size)
    expires, points = earned + 365 * DAY, chance.integers(1, 50, customer.size) * 10
    lot = np.arange(customer.size)
    halved = np.flatnonzero(chance.random(customer.size) < 0.2)
    spent = earned[halved] + chance.integers(DAY, 300 * DAY, halved.size)
    until = expires.copy()
    until[halved] = spent
    half = points[halved] // 2
    return Points(
        np.concatenate([lot, halved]),
        np.concatenate([customer, customer[halved]]),
        np.concatenate([earned, spent]),
        np.concatenate([until, expires[halved]]),
        np.concatenate([expires, expires[halved]]),
        np.concatenate([points, half]),
    )


def _power(chance: np.random.Generator, size: int, values: int, exponent: float) -> Ints:
    """Numbers below `values`, small ones far more often."""
    return (values * chance.random(size) ** exponent).astype(np.int64)
