"""A naive judge of the rule language: the contract's sentences in plain Python over what a shop sent.

It shares nothing with `segments/`: it reads the JSON of the rule, and goes through everything for every customer.
"""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any
from zoneinfo import ZoneInfo

OLD_NAMES = {"Completed Order": "Order Completed", "Viewed Product": "Product Viewed"}
UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 604800}
MISSING = object()


@dataclass
class Shopper:
    """A customer as a shop knows him; `facts` are (instant, event name, properties) in the order they were sent."""

    id: str
    attributes: dict[str, Any] = field(default_factory=dict)
    zone: str | None = None
    facts: list[tuple[datetime, str, dict[str, Any]]] = field(default_factory=list)
    browsers: list["Browser"] = field(default_factory=list)
    messages: list["Message"] = field(default_factory=list)


@dataclass
class Browser:
    """A browser that opted in; `since` and `until` are when it was subscribed, `facts` what is told of it."""

    facts: dict[str, Any]
    since: datetime
    until: datetime | None = None


@dataclass
class Message:
    """A push message to the customer and what came back: (kind, instant)."""

    campaign: str
    is_test: bool
    accepted: datetime | None
    receipts: list[tuple[str, datetime]]


@dataclass
class Order:
    at: datetime
    properties: dict[str, Any]
    value: Decimal
    lines: list[dict[str, Any]]


@dataclass
class Judge:
    """Says who is in a rule at instant `t`."""

    shoppers: list[Shopper]
    zone: str
    catalogue: dict[str, str | None]
    t: datetime
    segments: dict[str, dict[str, Any]] = field(default_factory=dict)

    def members(self, rule: dict[str, Any]) -> set[str]:
        return {shopper.id for shopper in self.shoppers if self.holds(rule["where"], shopper)}

    def holds(self, node: dict[str, Any], who: Shopper) -> bool:
        if "all" in node:
            return all(self.holds(child, who) for child in node["all"])
        if "any" in node:
            return any(self.holds(child, who) for child in node["any"])
        if "not" in node:
            return not self.holds(node["not"], who)
        if "attribute" in node:
            operator, operand = next((key, value) for key, value in node.items() if key != "attribute")
            return self.passes(who.attributes.get(node["attribute"]), operator, operand, who)
        if "sample" in node:
            digest = sha256(f"{node['sample'].get('salt', '')}:{who.id}".encode()).digest()
            return Decimal(int.from_bytes(digest[:4], "big")) / 2**32 < Decimal(str(node["sample"]["percent"])) / 100
        if "topic" in node:
            return any(node["topic"] in browser.facts["topics"] for browser in self.subscribed(who))
        if "subscription" in node:
            asked = {name: next(iter(test.items())) for name, test in node["subscription"].items()}
            return any(
                all(self.passes(browser.facts[name], *test) for name, test in asked.items())
                for browser in self.subscribed(who)
            )
        if "message" in node:
            asked = node["message"]
            sent = [each for each in who.messages if asked.get("campaign", each.campaign) == each.campaign]
            outcomes = [ts for each in sent if not each.is_test for ts in self.outcomes(each, asked["outcome"], who)]
            return any(self.in_window(ts, asked) for ts in outcomes)
        if "segment" in node:
            return self.holds(self.segments[node["segment"]], who)
        if "points" in node:
            return self.points(node["points"], who)
        if "tier" in node:
            ((operator, operand),) = node["tier"].items()
            return self.passes(self.tier(who), operator, operand)
        return self.aggregate(node, self.happenings(node, who))

    def subscribed(self, who: Shopper) -> list[Browser]:
        return [one for one in who.browsers if one.since <= self.t and (one.until is None or one.until > self.t)]

    def outcomes(self, message: Message, outcome: str, who: Shopper) -> list[datetime]:
        if outcome == "accepted":
            return [message.accepted] if message.accepted else []
        if outcome == "converted":
            clicks = [ts for kind, ts in message.receipts if kind == "clicked"]
            orders = [order.at for order in self.orders(who)]
            return [at for at in orders for ts in clicks if timedelta(0) < at - ts <= timedelta(hours=72)]
        return [ts for kind, ts in message.receipts if kind == outcome]

    def points(self, asked: dict[str, Any], who: Shopper) -> bool:
        """Lots are [points left, earned, expiry]; each redemption up to t takes them at its own instant."""
        far = datetime.max.replace(tzinfo=UTC)
        lots = [
            [properties["points"], ts, self.instant(properties.get("expires_at")) or far]
            for ts, name, properties in who.facts
            if name == "Loyalty Points Earned"
        ]
        lots.sort(key=lambda lot: lot[2])
        for ts, name, properties in sorted(who.facts, key=lambda fact: fact[0]):
            if name != "Loyalty Points Redeemed" or ts > self.t:
                continue
            alive, wanted = [lot for lot in lots if lot[1] <= ts < lot[2]], properties["points"]
            if sum(lot[0] for lot in alive) < wanted:
                continue
            for lot in alive:
                taken = min(wanted, lot[0])
                lot[0] -= taken
                wanted -= taken
        alive = [lot for lot in lots if lot[1] <= self.t < lot[2]]
        if "balance" in asked:
            return self.asked(Decimal(sum(lot[0] for lot in alive)), asked["balance"])
        # written as a difference, since t + W may lie beyond the calendar
        soon = sum(lot[0] for lot in alive if lot[2] - self.t <= length(asked["within"]))
        return self.asked(Decimal(soon), asked["expiring"])

    def tier(self, who: Shopper) -> str | None:
        told = [(ts, properties["tier"]) for ts, name, properties in who.facts if name == "Loyalty Tier Changed"]
        newest: tuple[datetime, str | None] = max(
            ((ts, tier) for ts, tier in told if ts <= self.t), key=lambda change: change[0], default=(self.t, None)
        )
        return newest[1]

    def passes(self, value: Any, operator: str, operand: Any, who: Shopper | None = None) -> bool:
        if operator == "exists":
            return (value is not None) == operand
        if operator in ("ne", "not_in"):
            return not self.passes(value, "eq" if operator == "ne" else "in", operand)
        if value is None:
            return False
        if operator == "eq":
            return same(value, operand)
        if operator == "in":
            return any(same(value, each) for each in operand)
        if operator == "contains":
            if isinstance(value, list):
                return any(same(each, operand) for each in value)
            return isinstance(value, str) and isinstance(operand, str) and operand in value
        if operator == "starts_with":
            return isinstance(value, str) and value.startswith(operand)
        if operator == "anniversary_within":
            assert who is not None
            return self.celebrates(value, operand, who)
        if operator in ("within_last", "within_next"):
            v, w = self.instant(value), length(operand)
            if v is None:
                return False
            return self.t - w < v <= self.t if operator == "within_last" else self.t < v <= self.t + w
        operands = operand if operator == "between" else [operand]
        if isinstance(operands[0], str):
            left, right = self.instant(value), [self.instant(each) for each in operands]
        else:
            left, right = number(value), [number(each) for each in operands]
        return left is not None and compare(left, operator, right)

    def instant(self, value: Any) -> datetime | None:
        if not isinstance(value, str) or len(value) < 10:
            return None
        try:
            read = datetime.fromisoformat(value)
        except ValueError:
            return None
        if read.tzinfo:
            return read
        # a local time that the clocks skip, or show twice, is the later one
        return max(read.replace(tzinfo=ZoneInfo(self.zone), fold=fold).astimezone(UTC) for fold in (0, 1))

    def celebrates(self, value: Any, span: str, who: Shopper) -> bool:
        if self.instant(value) is None:
            return False
        born, today = date.fromisoformat(value[:10]), self.t.astimezone(ZoneInfo(who.zone or self.zone)).date()
        for year in (today.year, today.year + 1):
            try:
                day = born.replace(year=year)
            except ValueError:
                day = date(year, 2, 28)
            if timedelta(0) <= day - today <= length(span):
                return True
        return False

    def happenings(self, node: dict[str, Any], who: Shopper) -> list[tuple[datetime, dict[str, Any], Decimal | None]]:
        """Instant, properties, and the value that stands for revenue, of what matches in the window."""
        found: list[tuple[datetime, dict[str, Any], Decimal | None]]
        if "bought" in node:
            where = node["bought"]
            found = [(order.at, self.line(line), None) for order in self.orders(who) for line in order.lines]
        else:
            where, name = node.get("where", {}), OLD_NAMES.get(node["event"], node["event"])
            if name == "Order Completed":
                found = [(order.at, order.properties, order.value) for order in self.orders(who)]
            else:
                found = [(ts, properties, None) for ts, kind, properties in who.facts if kind == name]
        return [
            happening
            for happening in found
            if self.in_window(happening[0], node)
            and all(self.passes(happening[1].get(name), *next(iter(test.items()))) for name, test in where.items())
        ]

    def in_window(self, ts: datetime, node: dict[str, Any]) -> bool:
        if ts > self.t or ("within" in node and ts <= self.t - length(node["within"])):
            return False
        start, end = self.instant(node.get("from")), self.instant(node.get("to"))
        return (start is None or ts >= start) and (end is None or ts < end)

    def orders(self, who: Shopper) -> list[Order]:
        """Orders as they stand at t."""
        standing: dict[str, Order] = {}
        for ts, name, properties in who.facts:
            if name == "Order Completed" and ts <= self.t and properties["order_id"] not in standing:
                value = next((properties[key] for key in ("revenue", "total", "value") if key in properties), 0)
                lines = [dict(line) for line in properties.get("products", [])]
                standing[properties["order_id"]] = Order(ts, properties, Decimal(str(value)), lines)
        for ts, name, properties in sorted(who.facts, key=lambda fact: fact[0]):
            order = standing.get(properties.get("order_id", ""))
            if ts > self.t or order is None or name not in ("Order Cancelled", "Order Refunded"):
                continue
            amount = next((properties[key] for key in ("revenue", "total") if key in properties), None)
            back = properties.get("products", [])
            if name == "Order Refunded" and (amount is not None or back):
                worth = sum((give_back(order.lines, line) for line in back), Decimal(0))
                order.value -= worth if amount is None else Decimal(str(amount))
                if order.value > 0:
                    continue
            del standing[properties["order_id"]]
        return list(standing.values())

    def line(self, line: dict[str, Any]) -> dict[str, Any]:
        full = {"quantity": 1, **line}
        full["revenue"] = Decimal(str(line.get("price", 0))) * Decimal(str(full["quantity"]))
        product = article(line)
        full["product_id"] = product
        if line.get("category") is None:
            full["category"] = self.catalogue.get(product or "")
        return full

    def aggregate(self, node: dict[str, Any], found: list[tuple[datetime, dict[str, Any], Decimal | None]]) -> bool:
        for edge, choose in (("last", max), ("first", min)):
            if edge in node:
                ((side, span),) = node[edge].items()
                if not found:
                    return False
                old = choose(ts for ts, _properties, _value in found) <= self.t - length(span)
                return old if side == "before" else not old
        for function in ("sum", "avg", "min", "max", "distinct"):
            if function in node:
                asked = dict(node[function])
                of = asked.pop("of")
                return self.asked(made(function, self.values(function, of, found)), asked)
        return self.asked(Decimal(len(found)), node.get("count", {"gte": 1}))

    def values(self, function: str, of: str, found: list[tuple[datetime, dict[str, Any], Decimal | None]]) -> list[Any]:
        return [
            value
            if value is not None and of in ("revenue", "total", "value") and function != "distinct"
            else properties.get(of)
            for _ts, properties, value in found
        ]

    def asked(self, made_number: Decimal | None, comparison: dict[str, Any]) -> bool:
        ((operator, operand),) = comparison.items()
        operands = operand if isinstance(operand, list) else [operand]
        return made_number is not None and compare(made_number, operator, [number(each) for each in operands])


def give_back(lines: list[dict[str, Any]], back: dict[str, Any]) -> Decimal:
    """Take so many of a product off an order's lines; returns what they are worth."""
    worth, missing = Decimal(0), Decimal(str(back.get("quantity", 1)))
    for line in list(lines):
        quantity = Decimal(str(line.get("quantity", 1)))
        if missing <= 0 or article(line) != back["product_id"]:
            continue
        taken = min(missing, quantity)
        worth += taken * Decimal(str(line.get("price", 0)))
        missing -= taken
        line["quantity"] = quantity - taken
        if line["quantity"] == 0:
            lines.remove(line)
    return worth


def article(line: dict[str, Any]) -> str | None:
    """What was bought; a number is the same id as its text."""
    found = line.get("product_id") or line.get("sku")
    return None if found is None else str(found)


def made(function: str, values: list[Any]) -> Any:
    if function == "distinct":
        different: list[Any] = []
        for value in values:
            if value is not None and not any(same(value, other) for other in different):
                different.append(value)
        return Decimal(len(different))
    numbers = [found for value in values if (found := number(value)) is not None]
    if function == "sum":
        return sum(numbers, Decimal(0))
    if not numbers:
        return None
    return sum(numbers) / Decimal(len(numbers)) if function == "avg" else (min if function == "min" else max)(numbers)


def compare(left: Any, operator: str, right: list[Any]) -> bool:
    first = right[0]
    return {
        "eq": lambda: left == first,
        "ne": lambda: left != first,
        "in": lambda: left in right,
        "not_in": lambda: left not in right,
        "gt": lambda: left > first,
        "after": lambda: left > first,
        "gte": lambda: left >= first,
        "lt": lambda: left < first,
        "before": lambda: left < first,
        "lte": lambda: left <= first,
        "between": lambda: first <= left <= right[1],
    }[operator]()


def number(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    return Decimal(str(value))


def same(one: Any, other: Any) -> bool:
    if number(one) is not None or number(other) is not None:
        return number(one) == number(other)
    return type(one) is type(other) and bool(one == other)


def length(span: str) -> timedelta:
    return timedelta(seconds=int(span[:-1]) * UNITS[span[-1]])
