"""What an order is worth, and when: pure decisions, no database.

An order is what `Order Completed` said, less what came later: a cancellation takes it away, a refund lowers it by its
amount (`revenue`, else `total`) or by its `products`, and takes it away when it names neither or leaves nothing, an
update that carries an amount or products replaces them. Each change counts from its own instant on, so the order's
worth is a list of versions. Changes are applied in the order of their times, whenever they arrive.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Literal

import msgspec

from push_server.errors import Fault
from push_server.events.money import LIMIT, micros

Change = Literal["cancelled", "refunded", "updated"]
ORDER_EVENTS: dict[str, Literal["completed"] | Change] = {
    "Order Completed": "completed",
    "Order Updated": "updated",
    "Order Refunded": "refunded",
    "Order Cancelled": "cancelled",
}
MAX_TEXT = 255

_exact = msgspec.json.Decoder(float_hook=Decimal)
_encoder = msgspec.json.Encoder(decimal_format="number")


class Line(msgspec.Struct, frozen=True):
    """One article of an order; `amount` is price × quantity in micros, `document` the line as it came."""

    product_id: str | None
    category: str | None
    price: Decimal | None
    quantity: Decimal
    document: dict[str, Any]

    @property
    def amount(self) -> int:
        return micros((self.price or Decimal(0)) * self.quantity)


class OrderFact(msgspec.Struct, frozen=True):
    """What one order event says. `amount` in micros; None for both amount and lines: nothing said of them."""

    kind: Literal["completed"] | Change
    order_id: str
    amount: int | None
    lines: list[Line] | None
    currency: str | None = None


class Changed(msgspec.Struct, frozen=True):
    """A later fact about an order; `ts` in any unit that sorts."""

    kind: Change
    ts: int
    seq: int
    amount: int | None
    lines: list[Line] | None


class Version(msgspec.Struct, frozen=True):
    """The order's worth from `since` until `until` (None: for ever)."""

    since: int
    until: int | None
    value: int
    lines: list[Line]


def versions(ts: int, value: int, lines: list[Line], changes: Iterable[Changed]) -> list[Version]:
    """The versions of an order completed at `ts`; none at all when it was taken away no later than that."""
    found: list[Version] = []
    since = ts
    for change in sorted(changes, key=lambda change: (change.ts, change.seq)):
        at = max(change.ts, ts)
        after = _apply(change, value, lines)
        if after == (value, lines):
            continue
        if at > since:
            found.append(Version(since, at, value, lines))
            since = at
        if after is None:
            return found
        value, lines = after
    found.append(Version(since, None, value, lines))
    return found


def _apply(change: Changed, value: int, lines: list[Line]) -> tuple[int, list[Line]] | None:
    if change.kind == "cancelled":
        return None
    if change.kind == "updated":
        return (
            value if change.amount is None else change.amount,
            lines if change.lines is None else change.lines,
        )
    if change.amount is None and change.lines is None:
        return None
    worth, rest = _take_lines(lines, change.lines or [])
    value -= worth if change.amount is None else change.amount
    return (value, rest) if value > 0 else None


def _take_lines(lines: list[Line], refunded: list[Line]) -> tuple[int, list[Line]]:
    """What the refunded lines are worth, and the order's lines without them."""
    rest, worth = list(lines), 0
    for back in refunded:
        missing = back.quantity
        for at, line in enumerate(rest):
            if missing <= 0:
                break
            if line.product_id is None or line.product_id != back.product_id:
                continue
            taken = min(missing, line.quantity)
            missing -= taken
            rest[at] = msgspec.structs.replace(line, quantity=line.quantity - taken)
            if back.price is None and line.price is not None:
                worth += micros(line.price * taken)
        if back.price is not None:
            worth += back.amount
    return worth, [line for line in rest if line.quantity > 0]


def read_order(name: str, properties: bytes, fallback_id: str, path: str, faults: list[Fault]) -> OrderFact | None:
    """The fact in an order event's properties (JSON); None, with faults added, when they are not as they should be.

    An order without `order_id` goes by its message's id; a change must name its order.
    """
    kind, before = ORDER_EVENTS[name], len(faults)
    try:
        document = _exact.decode(properties)
    except (ValueError, ArithmeticError):
        faults.append(Fault(path, "holds a number that is too small or too large", "out_of_range"))
        return None
    order_id = _id(document.get("order_id"), f"{path}.order_id", faults)
    if order_id is None:
        if kind != "completed" and len(faults) == before:
            faults.append(Fault(f"{path}.order_id", "which order? Send the order_id of its Order Completed", "missing"))
        order_id = fallback_id
    amount = None
    for field in ("revenue", "total") if kind == "refunded" else ("revenue", "total", "value"):
        number = _number(document.get(field), f"{path}.{field}", faults)
        if number is not None and amount is None:
            amount = micros(number)
    if kind == "refunded" and amount is not None and amount < 0:
        faults.append(Fault(f"{path}.revenue", "a refund's amount must not be negative", "out_of_range"))
    products = document.get("products")
    lines = read_lines(products, f"{path}.products", faults) if products is not None else None
    if kind == "completed":
        amount, lines = amount or 0, lines or []
    elif kind == "refunded":
        lines = lines or None
    elif kind == "cancelled":
        amount = lines = None
    currency = document.get("currency")
    if currency is not None and not (isinstance(currency, str) and len(currency) <= MAX_TEXT):
        faults.append(Fault(f"{path}.currency", "must be a text such as EUR", "wrong_type"))
    if len(faults) > before:
        return None
    return OrderFact(kind, order_id, amount, lines, currency)


def read_lines(products: object, path: str, faults: list[Fault]) -> list[Line]:
    """The lines in `products`, numbers as Decimal; what is wrong with them goes to `faults`."""
    if not isinstance(products, list):
        faults.append(Fault(path, "must be a list of products", "wrong_type"))
        return []
    lines = []
    for at, document in enumerate(products):
        here = f"{path}[{at}]"
        if not isinstance(document, dict):
            faults.append(Fault(here, 'must be an object such as {"product_id": "p1", "price": 9.9}', "wrong_type"))
            continue
        product = _id(document.get("product_id"), f"{here}.product_id", faults)
        category = document.get("category")
        if category is not None and not (isinstance(category, str) and len(category) <= MAX_TEXT):
            faults.append(Fault(f"{here}.category", f"must be a text of at most {MAX_TEXT} characters", "wrong_type"))
            category = None
        price = _number(document.get("price"), f"{here}.price", faults)
        quantity = _number(document.get("quantity"), f"{here}.quantity", faults)
        if quantity is not None and quantity < 0:
            faults.append(Fault(f"{here}.quantity", "must not be negative", "out_of_range"))
        elif abs((price or Decimal(0)) * (Decimal(1) if quantity is None else quantity)) > LIMIT:
            faults.append(Fault(here, f"price × quantity must stay within ±{LIMIT}", "out_of_range"))
        lines.append(
            Line(
                product or _id(document.get("sku"), f"{here}.sku", faults),
                category,
                price,
                Decimal(1) if quantity is None else quantity,
                document,
            )
        )
    return lines


def dump_lines(lines: list[Line] | None) -> str | None:
    """The lines as JSON, as they came."""
    return None if lines is None else _encoder.encode([line.document for line in lines]).decode()


def load_lines(text: str | None) -> list[Line] | None:
    """The inverse of dump_lines."""
    return None if text is None else read_lines(_exact.decode(text), "$", [])


def dump_document(line: Line) -> str:
    """A line's document as JSON."""
    return _encoder.encode(line.document).decode()


def _id(value: Any, path: str, faults: list[Fault]) -> str | None:
    if value is None:
        return None
    if type(value) is int:
        value = str(value)
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        faults.append(Fault(path, f"must be a text of at most {MAX_TEXT} characters, or a whole number", "wrong_type"))
        return None
    return value or None


def _number(value: Any, path: str, faults: list[Fault]) -> Decimal | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        faults.append(Fault(path, "must be a number, not in quotes", "wrong_type"))
        return None
    if not -LIMIT <= value <= LIMIT:
        faults.append(Fault(path, f"must stay within ±{LIMIT}", "out_of_range"))
        return None
    return Decimal(value)
