"""Real purchases (CDNOW, 1997–98), moved so that the last day of the data is the day of `anchor`.

What the file does not say is made up from the customer's number, the same each time: names, birthdays, the time of
day, and which records the CDs were. Dates, customers, numbers of CDs and dollars are the file's.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from pathlib import Path
from random import Random
from typing import Any

from push_server.clock import rfc3339
from push_server.demo.catalogue import BY_CATEGORY, CATEGORIES, Record
from push_server.errors import StartupError

CENT = Decimal("0.01")
ZONE = "Europe/Budapest"
"""Where the shop is, and its customers are."""
_FIRST = "Anna Béla Clara Dávid Eszter Farid Grete Hana Igor Júlia Karim Lotte Márta Noor Olga Pál Rosa Søren Tünde Zoë"
_LAST = "Almási Berg Czakó Dahl Eriksen Fekete García Horváth Iversen Jónás Kovács Lund Molnár Nagy Ortega Szabó"


@dataclass(frozen=True, slots=True)
class Line:
    """One order line; `price` is the unit price paid."""

    record: Record
    quantity: int
    price: Decimal


@dataclass(frozen=True, slots=True)
class Purchase:
    """One row of the file."""

    order_id: str
    customer: str
    at: datetime
    revenue: Decimal
    lines: tuple[Line, ...]

    def event(self) -> dict[str, Any]:
        """The `Order Completed` event; its messageId is the order's, so that sending it again changes nothing."""
        products = [
            {
                "product_id": line.record.product_id,
                "name": line.record.title,
                "category": line.record.category,
                "price": float(line.price),
                "quantity": line.quantity,
            }
            for line in self.lines
        ]
        properties = {"order_id": self.order_id, "revenue": float(self.revenue), "currency": "USD"}
        return {
            "type": "track",
            "event": "Order Completed",
            "messageId": f"order-{self.order_id}",
            "userId": self.customer,
            "timestamp": rfc3339(self.at),
            "properties": properties | {"products": products},
        }


@dataclass(frozen=True, slots=True)
class Person:
    """A customer, with all that he bought, oldest first."""

    customer: str
    first_name: str
    last_name: str
    birthday: date
    favourite: str
    purchases: tuple[Purchase, ...]

    @property
    def anonymous_id(self) -> str:
        """What his browser calls itself."""
        return f"browser-{self.customer}"

    def event(self) -> dict[str, Any]:
        """The `identify` event, by which the server knows whose browser it is."""
        traits = {
            "first_name": self.first_name,
            "last_name": self.last_name,
            "birthday": self.birthday.isoformat(),
            "favourite": self.favourite,
        }
        ids = {"userId": self.customer, "anonymousId": self.anonymous_id}
        return {"type": "identify", "messageId": f"person-{self.customer}", **ids, "traits": traits}


@dataclass(frozen=True, slots=True)
class Purchases:
    """What the demo loads, and where it is from."""

    people: list[Person]
    source: Path
    first_day: date
    last_day: date

    @property
    def count(self) -> int:
        """The number of purchases."""
        return sum(len(person.purchases) for person in self.people)


def directory() -> Path:
    """Where the examples are: in the checkout that this package is run from."""
    found = Path(__file__).parents[2] / "examples"
    if not found.is_dir():
        raise StartupError("The demo's data and shop come with the source. Run it from a checkout: `make demo`.")
    return found


def load(anchor: datetime) -> Purchases:
    """The full file where it is present, else the sample."""
    folder = directory() / "cdnow"
    full = folder / "CDNOW_master.txt"
    source = full if full.exists() else folder / "CDNOW_sample.txt"
    rows: dict[str, list[tuple[date, int, Decimal]]] = {}
    for line in source.read_text().splitlines():
        fields = line.split()
        if not fields or not fields[0].isdigit():
            continue  # the full file has a heading
        day = datetime.strptime(fields[-3], "%Y%m%d").date()
        rows.setdefault(fields[0], []).append((day, int(fields[-2]), Decimal(fields[-1])))
    days = [day for purchases in rows.values() for day, _, _ in purchases]
    last_day = max(days)
    people = [_person(customer, sorted(bought), last_day, anchor) for customer, bought in rows.items()]
    return Purchases(people, source, min(days), last_day)


def _person(customer: str, bought: list[tuple[date, int, Decimal]], last_day: date, anchor: datetime) -> Person:
    chance = Random(f"person {customer}")
    first, last, favourite = chance.choice(_FIRST.split()), chance.choice(_LAST.split()), chance.choice(CATEGORIES)
    birthday = date(1950, 1, 1) + timedelta(days=chance.randrange(18_000))
    purchases = []
    for number, (day, records, dollars) in enumerate(bought, start=1):
        # Two to twelve hours before the anchor's time of day: the edge of a window of whole days then meets no
        # purchase for the next twelve hours, and what is counted at the start still holds at the end.
        before = timedelta(days=(last_day - day).days, seconds=chance.randrange(2 * 3600, 12 * 3600))
        lines = _lines(records, dollars, favourite, chance)
        purchases.append(Purchase(f"{customer}-{number}", customer, anchor - before, dollars, lines))
    purchases.sort(key=lambda purchase: purchase.at)
    return Person(customer, first, last, birthday, favourite, tuple(purchases))


def _lines(records: int, dollars: Decimal, favourite: str, chance: Random) -> tuple[Line, ...]:
    """As many records as the file says, priced so that they come to its dollars, to the cent."""
    categories = [favourite if chance.random() < 0.6 else chance.choice(CATEGORIES) for _ in range(records)]
    chosen: dict[Record, int] = {}
    for category in categories:
        record = chance.choice(BY_CATEGORY[category])
        chosen[record] = chosen.get(record, 0) + 1
    price = (dollars / records).quantize(CENT, ROUND_DOWN)
    rest = dollars - price * records
    lines = [Line(record, quantity, price) for record, quantity in chosen.items()]
    if rest:
        last = lines.pop()
        lines += [Line(last.record, last.quantity - 1, price)] if last.quantity > 1 else []
        lines.append(Line(last.record, 1, price + rest))
    return tuple(lines)
