"""A shop full of histories whose instants sit on window edges, in a real database and as the judge reads them."""

import random
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlmodel import select
from starlette.testclient import TestClient

from push_server import clock
from push_server.app import create_app
from push_server.audiences.histories import load
from push_server.audiences.models import Segment
from push_server.audiences.rules import SiteRules
from push_server.campaigns.models import Campaign
from push_server.db import Database, SiteSession
from push_server.delivery.models import Dispatch, delivery, receipt
from push_server.sites.models import VapidKey
from push_server.sites.service import create_site
from push_server.subscriptions.models import Subscription
from segments import core
from segments.batch import evaluate
from segments.history import World, micros
from segments.memory import holds
from segments.needs import everything, needs
from segments.sql_thresholds import read_threshold, threshold
from tests.integration.segments_judge import Browser, Message, Shopper
from tests.integration.segments_judge_histories import HistoryJudge

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ZONE = "Europe/Budapest"
STEP = timedelta(hours=12)
TICK = timedelta(microseconds=1)
DAY = timedelta(days=1)
LIFESPANS = {"p1": 3, "p2": 5}
CATALOGUE = {"p1": "dog", "p2": "cat", "p3": None}

TEXTS = ["dog", "Dog", "cat", "5", "100%", "a_b", "", "ő"]
NUMBERS = [0, 1, 2, 5, 5.0, 0.1, 0.2, 0.3, -1, 19.99]
DATES = [
    "2026-02-28",
    "2026-03-01",
    "2026-03-01T12:00:00Z",
    "2026-03-01T13:00:00+01:00",
    "2026-03-02T00:00:00",
    "2026-02-27T12:00:00.000001Z",
    "2026-03-08 12:00:00Z",
    "2026-03-29T02:30:00",  # skipped in the shop's zone
    "2026-03-29T01:30:00Z",
    "2025-10-26T02:30:00",  # twice there
    "2025-10-26T01:30:00Z",
]
BIRTHDAYS = ["1992-02-29", "1990-02-28", "1991-03-01", "1985-03-08", "1970-12-31", "2000-01-01T23:00:00Z", "1990-02-30"]
CAMPAIGNS = [str(UUID(int=number)) for number in (1, 2, 3)]  # nobody was sent the third one
FACTS: dict[str, list[Any]] = {
    "browser": ["firefox", "chrome", None],
    "locale": ["hu-HU", "dog", "5", None],
    "time_zone": [ZONE, "America/Los_Angeles", None],
    "topics": [[], ["dog"], ["dog", "5"], ["Dog", "100%"]],
}


def _value(chance: random.Random) -> Any:
    pools = [
        TEXTS,
        NUMBERS,
        DATES,
        [True, False],
        [["dog", 5], [], ["5", "cat", True]],
        ["2026-02-30", "soon", {"a": 1}],
    ]
    return chance.choice(chance.choice(pools))


def _properties(chance: random.Random, names: list[str]) -> dict[str, Any]:
    found = {name: _value(chance) for name in names if chance.random() < 0.7}
    return {name: None if chance.random() < 0.05 else value for name, value in found.items()}


def _instant(chance: random.Random) -> datetime:
    return NOW + STEP * chance.randint(-14, 3) + TICK * chance.choice([0, 0, 0, -1, 1])


def _line(chance: random.Random) -> dict[str, Any]:
    name = chance.choice(["product_id", "product_id", "product_id", "sku", "none"])
    line: dict[str, Any] = {name: chance.choice(["p1", "p2", "p3", "p4", 5])}
    if chance.random() < 0.5:
        line["category"] = chance.choice(["dog", "cat", "Dog"])
    if chance.random() < 0.8:
        line["price"] = chance.choice([0.1, 0.2, 5, 19.99])
    if chance.random() < 0.5:
        line["quantity"] = chance.choice([1, 2, 3])
    if chance.random() < 0.5:
        line["brand"] = chance.choice(["Rex", "rex", "R%"])
    return line


def _orders(chance: random.Random, id: str) -> list[tuple[datetime, str, dict[str, Any]]]:
    facts: list[tuple[datetime, str, dict[str, Any]]] = []
    for index in range(chance.randint(0, 4)):
        named = {"order_id": f"{id}-{index}"}
        properties: dict[str, Any] = {**named, "products": [_line(chance) for _ in range(chance.randint(0, 3))]}
        worth = {key: chance.choice([0.1, 0.2, 5, 10, 19.99]) for key in ("revenue", "total") if chance.random() < 0.8}
        properties |= worth | ({"category": chance.choice(["dog", 5])} if chance.random() < 0.3 else {})
        ts = _instant(chance)
        facts.append((ts, "Order Completed", properties))
        if chance.random() < 0.4:
            later = ts + STEP * chance.choice([0, 1, 2, 4])
            some = {"products": [{"product_id": "p1"}, {"product_id": "p2", "quantity": 2}]}
            back = chance.choice([{}, {"revenue": 5}, {"total": 0.1}, {"revenue": 0.1}, some])
            facts.append((later, chance.choice(["Order Cancelled", "Order Refunded", "Order Refunded"]), named | back))
        if chance.random() < 0.2:
            facts.append((ts + STEP, "Order Refunded", named | {"revenue": 4.9}))
    return facts


def _loyalty(chance: random.Random, id: str) -> list[tuple[datetime, str, dict[str, Any]]]:
    """Lots, tiers at different instants, and redemptions as long as lots cover them all, whatever comes first."""
    lots: list[tuple[datetime, str, dict[str, Any]]] = []
    for index in range(chance.randint(0, 4)):
        ts = _instant(chance)
        expiry = chance.choice([None, ts + STEP * chance.randint(0, 12), ts + STEP * chance.randint(0, 12) + TICK])
        properties = {"lot_id": f"{id}-{index}", "points": chance.choice([1, 2, 3, 5])}
        ends = {"expires_at": expiry and expiry.isoformat()}
        lots.append((ts, "Loyalty Points Earned", properties | (ends if chance.random() < 0.9 else {})))
    spent: list[tuple[datetime, str, dict[str, Any]]] = []
    for index in range(chance.randint(0, 5) if lots else 0):
        properties = {"redemption_id": f"{id}-{index}", "points": chance.choice([1, 1, 2, 3])}
        tried = [*spent, (_instant(chance), "Loyalty Points Redeemed", properties)]
        if _covered(lots, tried):
            spent = tried
    instants = {_instant(chance) for _ in range(chance.randint(0, 3))}
    tiers = [
        (ts, "Loyalty Tier Changed", {"tier": chance.choice(["dog", "Dog", "5", None])}) for ts in sorted(instants)
    ]
    return [*lots, *spent, *tiers]


def _covered(lots: list[Any], spent: list[Any]) -> bool:
    """Whether points could be handed out one by one: each redeemed point finds a lot of its own (Kuhn's matching)."""
    units = [
        (ts, datetime.fromisoformat(properties["expires_at"]) if properties.get("expires_at") else None)
        for ts, _name, properties in lots
        for _ in range(properties["points"])
    ]
    wanted = [ts for ts, _name, properties in spent for _ in range(properties["points"])]
    given_to: dict[int, int] = {}

    def place(want: int, seen: set[int]) -> bool:
        for unit, (earned, expiry) in enumerate(units):
            if unit in seen or not earned <= wanted[want] or (expiry is not None and wanted[want] >= expiry):
                continue
            seen.add(unit)
            if unit not in given_to or place(given_to[unit], seen):
                given_to[unit] = want
                return True
        return False

    return all(place(want, set()) for want in range(len(wanted)))


def shoppers(count: int) -> list[Shopper]:
    """Customers with histories, the same ones every time."""
    chance = random.Random(7)
    found = []
    for index in range(count):
        who = Shopper(f"c{index}", zone=chance.choice([None, ZONE, "Pacific/Auckland", "America/Los_Angeles"]))
        who.attributes = {name: _value(chance) for name in ("a", "b") if chance.random() < 0.8}
        if chance.random() < 0.8:
            who.attributes["born"] = chance.choice(BIRTHDAYS)
        for _ in range(chance.randint(0, 6)):
            name = chance.choice(["Product Viewed", "Searched", "Order Shipped"])
            who.facts.append((_instant(chance), name, _properties(chance, ["category", "price", "revenue", "size"])))
        who.facts += _orders(chance, who.id)
        who.facts += _loyalty(random.Random(index), who.id)
        found.append(who)
    return found


def stock(db: Database, found: list[Shopper]) -> int:
    """Send everything to a new site, as a shop would; returns the site's internal id."""
    clock.set_source(lambda: NOW)
    with db.session() as session:
        new = create_site(session, "Shop", ["https://shop.example"], time_zone=ZONE)
        site_id = session.site_id
    with TestClient(create_app(), headers={"Authorization": f"Bearer {new.secret_key}"}) as client:
        for who in found:
            body: dict[str, Any] = {"attributes": who.attributes} | ({"time_zone": who.zone} if who.zone else {})
            assert client.put(f"/v1/customers/{who.id}", json=body).status_code == 201
        products = [{"product_id": id, "category": category} for id, category in CATALOGUE.items()]
        assert client.put("/v1/products", json={"products": products}).status_code == 200
        messages = [
            {"type": "track", "userId": who.id, "event": name, "timestamp": ts.isoformat(), "properties": properties}
            for who in found
            for ts, name, properties in who.facts
        ]
        random.Random(3).shuffle(messages)
        for start in range(0, len(messages), 200):
            answer = client.post("/v1/batch", json={"batch": messages[start : start + 200]})
            assert answer.status_code == 200, answer.text
    return site_id


def _around(chance: random.Random) -> Any:
    return NOW + STEP * chance.randint(-10, 2) + TICK * chance.choice([0, 0, -1, 1])


def _message(chance: random.Random, who: Shopper) -> Message:
    clicks = [fact[0] - chance.choice([TICK, 3 * DAY, 3 * DAY + TICK, DAY, 0 * DAY]) for fact in who.facts]
    accepted = _around(chance) if chance.random() < 0.8 else None
    receipts = [("shown", _around(chance))] if chance.random() < 0.6 else []
    if clicks and chance.random() < 0.6:
        receipts.append(("clicked", chance.choice(clicks)))
    if chance.random() < 0.3:
        receipts.append(("closed", _around(chance)))
    return Message(chance.choice(CAMPAIGNS[:2]), chance.random() < 0.2, accepted, receipts)


def reach(found: list[Shopper]) -> list[Shopper]:
    """Give them browsers and messages, the same ones every time."""
    chance = random.Random(11)
    for who in found:
        for _ in range(chance.choice([0, 0, 1, 1, 2, 3])):
            since = _around(chance)
            until = since + STEP * chance.randint(0, 4) if chance.random() < 0.4 else None
            facts = {name: chance.choice(values) for name, values in FACTS.items()}
            facts["created_at"] = since.isoformat(timespec="microseconds").replace("+00:00", "Z")
            who.browsers.append(Browser(facts, since, until))
        who.messages += [_message(chance, who) for _ in range(chance.randint(0, 3))]
    return found


def write(session: SiteSession, found: list[Shopper], ids: dict[str, int]) -> None:
    """Store browsers and messages as opt-ins, sending and receipts leave them."""
    key = session.exec(select(VapidKey)).one().id
    runs: dict[tuple[str, bool], int] = {}
    for number, public_id in enumerate(CAMPAIGNS):
        campaign = Campaign(public_id=UUID(public_id), name=f"Campaign {number}", document={})
        session.add(campaign)
        session.flush()
        for is_test in (False, True):
            run = Dispatch(campaign_id=campaign.id, is_test=is_test, include=[], message={}, expires_at=NOW)
            session.add(run)
            session.flush()
            runs[public_id, is_test] = run.id or 0
    for who in found:
        for browser in who.browsers:
            facts = {name: browser.facts[name] for name in FACTS}
            ended = {"state": "gone", "ended_at": browser.until} if browser.until else {}
            address: dict[str, Any] = {"endpoint": "", "endpoint_hash": uuid4().bytes, "p256dh": b"", "auth": b""}
            times = {"created_at": browser.since}
            session.add(Subscription(customer_id=ids[who.id], vapid_key_id=key, **facts, **ended, **address, **times))
        for message in who.messages:
            row = {"site_id": session.site_id, "dispatch_id": runs[message.campaign, message.is_test]}
            state = {"state": "accepted" if message.accepted else "failed", "accepted_at": message.accepted}
            statement = delivery.insert().values(customer_id=ids[who.id], **row, **state).returning(delivery.c.id)
            delivery_id = session.sql(statement).scalar_one()
            for kind, at in message.receipts:
                session.sql(receipt.insert().values(delivery_id=delivery_id, kind=kind, at=at))


class Shop:
    """Shoppers in a real database, and who of them is in a rule: by SQL, in memory, in columns, and to the judge."""

    def __init__(self, db: Database, found: list[Shopper], named: dict[str, Any] | None = None) -> None:
        """`named` are rules of segments, by the names that stand for their ids in other rules."""
        self.db, self.found, self.site_id = db, found, stock(db, found)
        self.named = named or {}
        with db.session(site_id=self.site_id) as session:
            for product, days in LIFESPANS.items():
                session.raw.execute("update product set lifespan_days = %s where product_id = %s", [days, product])
            self.names = dict(session.raw.execute("select id, external_id from customer").fetchall())
            write(session, found, {name: id for id, name in self.names.items()})
            self.segments: dict[str, Any] = {}
            for name, node in self.named.items():
                rule = {"version": 1, "where": self.written(node)}
                segment = Segment(name=name, rule=rule)
                session.add(segment)
                session.flush()
                self.segments[name] = str(segment.public_id)

    def __enter__(self) -> "Shop":
        """One session for as long as it is entered; `members` needs it."""
        with ExitStack() as stack:
            self.rules = SiteRules(stack.enter_context(self.db.session(site_id=self.site_id)))
            self._open = stack.pop_all()
        return self

    def __exit__(self, *_error: object) -> None:
        self._open.close()

    def written(self, node: Any) -> Any:
        """The rule with the ids of the segments that it names."""
        if isinstance(node, list):
            return [self.written(each) for each in node]
        if not isinstance(node, dict):
            return node
        return {key: self.segments[value] if key == "segment" else self.written(value) for key, value in node.items()}

    def members(self, node: dict[str, Any], at: datetime) -> tuple[dict[str, set[str]], core.Node]:
        """Who is in, by each way to tell; and the rule in core nodes."""
        session, rules, instant = self.rules.session, self.rules, micros(at)
        read = rules.parse({"version": 1, "where": self.written(node)})
        ids = session.sql(rules.members(read, at)).scalars().all()
        assert len(ids) == len(set(ids))
        lowered: core.Node = read.lower()
        asked = [leaf for leaf in everything([lowered], rules.node) if isinstance(leaf, core.Rank | core.Rfm)]
        rows = {leaf: session.sql(threshold(leaf, rules.binding(), at)).one() for leaf in asked}
        thresholds = {leaf: read_threshold(leaf, row) for leaf, row in rows.items()}
        batch = load(session.raw, self.site_id, self.names, needs([lowered], rules.node, for_truth=True), instant)
        world = World(ZONE, rules.node, CATALOGUE, LIFESPANS, thresholds)
        columns = evaluate({"": lowered}, batch, world, instant)[""]
        in_turn = [place for place in range(len(batch)) if holds(lowered, batch.history(place), world, instant)]
        judge = HistoryJudge(self.found, ZONE, CATALOGUE, at, segments=self.named, lifespans=LIFESPANS)
        told = {"SQL": ids, "memory": batch.ids[in_turn].tolist(), "columns": batch.ids[columns].tolist()}
        told["SQL by border"] = session.sql(rules.members(read, at, thresholds)).scalars().all() if asked else ids
        found = {way: {self.names[id] for id in each} for way, each in told.items()}
        return {**found, "judge": judge.members({"where": node})}, lowered
