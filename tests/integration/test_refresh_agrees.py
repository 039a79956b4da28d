"""Facts come in any order while the clock moves: after each step the members are those that all customers give."""

import random
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlmodel import col, select

from push_server import clock
from push_server.audiences import borders, refresh, step
from push_server.audiences.models import Segment
from push_server.audiences.rules import SiteRules
from push_server.campaigns.models import Campaign
from push_server.db import Database, SiteSession, database
from push_server.delivery.models import Dispatch, delivery
from push_server.delivery.receipts import Fact, record
from tests.integration.audiences.shop import NOW, ORDER, Api, at
from tests.integration.test_subscriptions import FIREFOX, subscription

VIEW, ADD = {"event": "Product Viewed"}, {"event": "Product Added"}
RULES: list[dict[str, Any]] = [
    {"all": []},
    {**VIEW, "where": {"category": {"eq": "dog"}}, "count": {"gte": 2}, "within": "1d"},
    {"not": {**VIEW, "within": "2h"}},
    {**VIEW, "distinct": {"of": "product_id", "gte": 2}, "within": "3h"},
    {**ORDER, "sum": {"of": "revenue", "gte": 50}, "within": "1d"},
    {**ORDER, "avg": {"of": "revenue", "gte": 20}, "within": "12h"},
    {**ORDER, "last": {"before": "6h"}},
    {**ORDER, "first": {"within": "5h"}},
    {**VIEW, "where": {"seen_at": {"within_last": "1h"}}},
    {"bought": {"category": {"eq": "dog"}}, "count": {"gte": 1}, "within": "1d"},
    {"bought": {"category": {"ne": "cat"}}},
    {"sequence": [ADD, {**ORDER, "absent": True}], "gap": "1h", "within": "24h"},
    {"sequence": [VIEW, ADD], "within": "5h"},
    {"rank": {"by": {**ORDER, "sum": "revenue", "within": "2d"}, "top_percent": 30}},
    {"rfm": {"recency": {"gte": 3}, "monetary": {"gte": 3}}},
    {"order_gap": {"ratio": {"gt": 2}, "min_orders": 2}},
    {"replenish": {"within": "1d"}},
    {"points": {"balance": {"gte": 50}}},
    {"points": {"expiring": {"gte": 10}, "within": "6h"}},
    {"tier": {"in": ["gold"]}},
    {"attribute": "country", "in": ["HU", "NO"]},
    {"attribute": "trial_ends", "within_next": "3h"},
    {"attribute": "trial_ends", "within_last": "2h"},
    {"attribute": "birthday", "anniversary_within": "1d"},
    {"subscription": {"browser": {"in": ["firefox"]}}},
    {"topic": "sales"},
    {"sample": {"percent": 40, "salt": "x"}},
    {"order_gap": {"ratio": {"between": [0.5, 1.5]}, "min_orders": 3}},
    {"not": {"order_gap": {"ratio": {"lt": 1}}}},
    {**VIEW, "where": {"seen_at": {"within_last": "30m"}, "category": {"eq": "dog"}}, "within": "3h"},
    {"bought": {"used_by": {"within_next": "2h"}}},
    {"sequence": [VIEW, {**ORDER, "where": {"seen_at": {"within_next": "1h"}}, "absent": True}], "within": "9h"},
    {"subscription": {"created_at": {"within_last": "2h"}}},
    {"message": {"outcome": "shown", "within": "1h"}},
    {"not": {"message": {"outcome": "converted", "within": "8h"}}},
]
STEPS = (timedelta(0), timedelta(seconds=3), timedelta(minutes=17), timedelta(hours=1), timedelta(hours=9))


class World:
    """A shop where things happen by chance."""

    def __init__(self, api: Api, seed: int) -> None:
        self.api, self.random, self.now, self.number = api, random.Random(seed), NOW, 0
        key = b64encode(f"{api.site.public_key}:".encode()).decode()
        self.browser = {"Authorization": f"Basic {key}"}

    def happen(self) -> None:
        """One thing, at an instant around now."""
        self.number += 1
        often = [self.event, self.event, self.event, self.order, self.order]
        rare = [self.refund, self.lot, self.tier, self.trait, self.opt, self.merge, self.erase, self.product]
        self.random.choice([*often, *rare, self.message])()

    def who(self) -> str:
        return f"u{self.random.randrange(9)}"

    def when(self) -> str:
        back = self.random.choice([0, 1, 60, 3000, 3600, 7200, 20_000, 86_399, -600, -7200])
        return (self.now - timedelta(seconds=back)).isoformat()

    def event(self, **more: Any) -> None:
        properties = {"category": self.random.choice(["dog", "cat"]), "product_id": self.random.choice("pq")}
        properties |= {"seen_at": self.when(), **more.pop("properties", {})}
        name = self.random.choice(["Product Viewed", "Product Added"])
        who = {"userId": self.who()} if self.random.random() < 0.7 else {"anonymousId": f"b{self.random.randrange(6)}"}
        self.track({"event": name, **who, "timestamp": self.when(), "properties": properties, **more})

    def order(self) -> None:
        line = {"product_id": self.random.choice("pq"), "price": self.random.randrange(5, 40), "quantity": 1}
        line |= {"used_by": self.when()}
        properties = {"order_id": f"o{self.number}", "revenue": line["price"], "products": [line]}
        self.event(event="Order Completed", properties=properties)

    def refund(self) -> None:
        properties = {"order_id": f"o{self.random.randrange(1, self.number + 2)}"}
        self.track(
            {"event": "Order Refunded", "userId": self.who(), "timestamp": self.when(), "properties": properties}
        )

    def tier(self) -> None:
        tier = {"tier": self.random.choice(["gold", "silver"])}
        self.track(
            {"event": "Loyalty Tier Changed", "userId": self.who(), "timestamp": self.when(), "properties": tier}
        )

    def lot(self) -> None:
        ends = self.now + timedelta(hours=self.random.choice([1, 5, 6, 7, 30]))
        lot = {"lot_id": f"l{self.number}", "customer": self.who(), "points": 30, "expires_at": ends.isoformat()}
        self.api.call("POST", "/v1/loyalty/lots", json={"lots": [{**lot, "earned_at": self.when()}]})

    def trait(self) -> None:
        named = {"country": self.random.choice(["HU", "SE"]), "trial_ends": self.when()}
        day = (self.now + timedelta(days=self.random.randrange(-2, 3))).strftime("1990-%m-%d")
        traits = {**named, "birthday": day, "timezone": self.random.choice(["Asia/Tokyo", "Europe/Budapest"])}
        chosen = dict(self.random.sample(sorted(traits.items()), 2))
        assert self.api.client.put(f"/v1/customers/{self.who()}", json={"attributes": chosen}).is_success

    def opt(self) -> None:
        who = self.who()
        endpoint = FIREFOX + who
        if self.random.random() < 0.3:
            self.api.client.request("DELETE", "/v1/subscriptions", json={"endpoint": endpoint}, headers=self.browser)
            return
        body = {"subscription": subscription(endpoint), "userId": who, "topics": self.random.choice([[], ["sales"]])}
        assert self.api.client.post("/v1/subscriptions", json=body, headers=self.browser).is_success

    def merge(self) -> None:
        body = {"anonymousId": f"b{self.random.randrange(6)}", "userId": self.who(), "traits": {}}
        self.api.call("POST", "/v1/identify", json=body)

    def erase(self) -> None:
        assert self.api.client.delete(f"/v1/customers/{self.who()}").status_code in (204, 404)

    def product(self) -> None:
        product = {"product_id": self.random.choice("pq"), "category": self.random.choice(["dog", "cat"])}
        product["lifespan_days"] = self.random.choice([None, 1])
        self.api.call("PUT", "/v1/products", json={"products": [product]})

    def message(self) -> None:
        """One is sent to somebody, and his browser tells of it."""
        with database().session(site_id=self.api.site_id) as session:
            ids = session.raw.execute("select id from customer order by id").fetchall()
            if ids:
                kinds = self.random.choice([["shown"], ["shown", "clicked"]])
                tell(session, self.random.choice(ids)[0], kinds, datetime.fromisoformat(self.when()))

    def track(self, body: dict[str, Any]) -> None:
        self.api.call("POST", "/v1/track", json={"context": {}, **body})


def tell(session: SiteSession, customer: int, kinds: list[str], when: datetime) -> None:
    """A message that was accepted at once, and what the browser told of it."""
    campaign = Campaign(public_id=uuid4(), name="x", document={})
    session.add(campaign)
    session.flush()
    run = Dispatch(campaign_id=campaign.id, include=[], message={}, expires_at=when, created_at=when)
    session.add(run)
    session.flush()
    row = {"site_id": session.site_id, "dispatch_id": run.id, "customer_id": customer, "state": "accepted"}
    id = session.sql(delivery.insert().values(**row, accepted_at=when).returning(delivery.c.id)).scalar_one()
    record(session, [Fact(id, kind, "", when) for kind in kinds])


@pytest.fixture
def unresting(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is, each step finds every border that is due, and evaluates every segment that is."""
    monkeypatch.setattr(borders, "SHARE", 0)
    monkeypatch.setattr(borders, "BUDGET", 60)
    monkeypatch.setattr(borders, "SLOW", 60)
    monkeypatch.setattr(step, "WHOLE_BUDGET", 60)
    monkeypatch.setattr(step, "QUICK", 60)


@pytest.fixture
def world(db: Database, unresting: None) -> Iterator[World]:
    at(NOW)
    api = Api(db)
    with api.client:
        yield World(api, 7)


def members(session: SiteSession, segment: Segment, now: datetime) -> list[int]:
    rules = SiteRules(session)
    return sorted(session.sql(rules.members(rules.parse(segment.rule), now)).scalars())


def check(db: Database, site_id: int, now: datetime) -> None:
    """Members, counts and told changes of each segment are those of a full evaluation."""
    with db.session(site_id=site_id) as session:
        for segment in session.exec(SEGMENTS).all():
            found = members(session, segment, now)
            rows = session.raw.execute(STORED, [segment.id]).fetchall()
            told = session.raw.execute(TOLD, [segment.id]).fetchall()
            assert [customer for customer, _reachable in rows] == found, segment.rule
            assert [customer for (customer,) in told] == found, segment.rule
            assert (segment.size, segment.reachable) == (len(found), sum(row[1] for row in rows)), segment.rule
            active = {
                row[0] for row in session.raw.execute("select customer_id from subscription where state='active'")
            }
            assert [customer in active for customer, _reachable in rows] == [reachable for _id, reachable in rows]


SEGMENTS = select(Segment).order_by(col(Segment.id))
STORED = "select customer_id, reachable from segment_member where segment_id = %s order by 1"
TOLD = (
    "select customer_id from (select distinct on (customer_id) customer_id, entered from membership_change"
    " where segment_id = %s order by customer_id, at desc, id desc) t where entered order by 1"
)


def go_on(world: World, db: Database, steps: int, is_right: Callable[[], None] = lambda: None) -> None:
    """Things happen and time passes; after each step members are right, and what `is_right` asserts."""
    for number in range(steps):
        for _ in range(world.random.randrange(9)):
            world.happen()
        world.now += world.random.choice(STEPS)
        at(world.now)
        refresh.tick(db)
        try:
            check(db, world.api.site_id, clock.now())
            is_right()
        except AssertionError as error:
            raise AssertionError(f"in step {number}, at {world.now}") from error


def test_members_are_right_after_every_step(world: World, db: Database) -> None:
    made = [world.api.segment(f"{number}", rule)["id"] for number, rule in enumerate(RULES)]
    world.api.segment("nested", {"all": [{"segment": made[4]}, {"not": {"segment": made[1]}}]})
    world.api.segment("nested twice", {"any": [{"segment": made[6]}, {"segment": made[11]}]})
    go_on(world, db, 18)
