"""Histories loaded from PostgreSQL: what is in them, and for whom rules hold in columns."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from push_server.audiences.histories import load
from push_server.audiences.rules import SiteRules
from push_server.db import Database
from push_server.sites.service import create_site
from segments.batch import FEW, evaluate
from segments.batch_columns import Batch
from segments.core import Node
from segments.history import NEVER, Happening, World, micros
from segments.needs import needs
from tests.integration import segments_shop
from tests.integration.segments_judge import Shopper
from tests.integration.segments_shop import CATALOGUE, LIFESPANS, NOW, ZONE


def no_segment(id: str) -> Node:
    raise KeyError(id)


class Shop(segments_shop.Shop):
    """Shoppers whose histories can be loaded."""

    def __init__(self, db: Database, found: list[Shopper]) -> None:
        super().__init__(db, found)
        self.ids = {name: id for id, name in self.names.items()}
        self.world = World(ZONE, categories=CATALOGUE, lifespans=LIFESPANS)

    def batch(self, nodes: list[Node], at: datetime, ids: list[int] | None = None) -> Batch:
        with self.db.session(site_id=self.site_id) as session:
            asked = needs(nodes, no_segment)
            return load(session.raw, self.site_id, self.names if ids is None else ids, asked, micros(at))

    def node(self, where: dict[str, Any]) -> Node:
        """Lowered."""
        with self.db.session(site_id=self.site_id) as session:
            return SiteRules(session).parse({"version": 1, "where": where}).lower()


@pytest.fixture
def shop(db: Database) -> Shop:
    """One who viewed, ordered, gave back, and will order."""
    at = [NOW - timedelta(days=days) for days in (40, 20, 10, 5)]
    ordered = {"order_id": "1", "revenue": 30, "products": [{"product_id": "p1", "price": 10, "quantity": 3}]}
    ada = Shopper("ada", {"tall": 1.80, "none": None}, "Pacific/Auckland")
    ada.facts = [
        (at[0], "Product Viewed", {"category": "dog", "size": 7}),
        (at[1], "Product Viewed", {"category": 5}),
        (at[1], "Order Completed", ordered),
        (at[3], "Order Refunded", {"order_id": "1", "products": [{"product_id": "p1", "quantity": 1}]}),
        (NOW + timedelta(days=1), "Order Completed", {"order_id": "2", "revenue": 0.01}),
        (at[2], "Loyalty Points Earned", {"lot_id": "l", "points": 5}),
        (at[2], "Loyalty Tier Changed", {"tier": "gold"}),
    ]
    return Shop(db, [ada, Shopper("bob")])


ALL = {
    "all": [
        {"event": "Product Viewed", "where": {"category": {"eq": "dog"}}, "within": "30d"},
        {"event": "Searched"},
        {"event": "Order Completed", "sum": {"of": "revenue", "gte": 1}},
        {"bought": {"category": {"eq": "dog"}, "quantity": {"gte": 1}}},
        {"attribute": "tall", "gte": 1},
        {"attribute": "none", "exists": True},
        {"points": {"balance": {"gte": 1}}},
        {"tier": {"eq": "gold"}},
        {"sample": {"percent": 50}},
    ]
}


def test_a_history_holds_what_was_sent(shop: Shop) -> None:
    node = shop.node(ALL)
    batch = shop.batch([node], NOW)
    ada, bob = (batch.history(batch.ids.tolist().index(shop.ids[name])) for name in ("ada", "bob"))
    twenty, five, later = (micros(NOW + timedelta(days=days)) for days in (-20, -5, 1))
    assert ada.identity == "ada"
    assert ada.zone == "Pacific/Auckland"
    assert ada.attributes == {"tall": Decimal("1.8")}
    # the view of 40 days ago is too old for every rule, and the other one's category is no text
    assert ada.events == {"Product Viewed": [Happening(twenty, {})], "Searched": []}
    assert [(each.ts, each.since, each.until, each.value) for each in ada.orders] == [
        (twenty, twenty, five, 30_000_000),
        (twenty, five, NEVER, 20_000_000),
        (later, later, NEVER, 10_000),
    ]
    assert [(each.quantity, each.value, each.product, each.category) for each in ada.lines] == [
        (3, 30_000_000, "p1", None),
        (2, 20_000_000, "p1", None),
    ]
    assert [(lot.points, lot.expires_at) for lot in ada.points] == [(5, NEVER)]
    assert [change.tier for change in ada.tiers] == ["gold"]
    assert [bob.attributes, *map(list, (bob.orders, bob.lines, bob.points, bob.tiers))] == [{}, [], [], [], []]


def test_free_properties_come_only_where_they_are_asked(shop: Shop) -> None:
    node = shop.node({"event": "Product Viewed", "where": {"size": {"gte": 7}}})
    batch = shop.batch([node], NOW)
    ada = batch.history(batch.ids.tolist().index(shop.ids["ada"]))
    assert [each.properties for each in ada.events["Product Viewed"]] == [{"size": 7}, {}]
    assert not ada.orders
    assert not ada.attributes


def test_free_properties_lie_beside_their_own_events(db: Database) -> None:
    """Some at one instant, some older than the free ones are asked, and one whose properties are kept no longer."""
    at = [NOW - timedelta(days=days) for days in (40, 5, 4)]
    ada = Shopper("ada")
    ada.facts = [
        (at[0], "Product Viewed", {"category": "dog", "size": 1}),
        (at[1], "Product Viewed", {"category": "dog", "size": 2}),
        (at[1], "Product Viewed", {"category": "cat", "size": 3}),
        (at[2], "Product Viewed", {"category": "dog", "size": 4}),
    ]
    bob = Shopper("bob")
    bob.facts = [(at[2], "Product Viewed", {"size": 5})]
    shop = Shop(db, [ada, bob])
    with db.connect() as conn:
        conn.execute("delete from event_body where properties ->> 'size' = '4'")
    viewed = {"event": "Product Viewed"}
    large = {**viewed, "where": {"category": {"eq": "cat"}, "size": {"gte": 3}}, "within": "30d"}
    nodes = [shop.node(large), shop.node({**viewed, "where": {"category": {"eq": "dog"}}, "count": {"eq": 3}})]
    batch = shop.batch(nodes, NOW)
    history = batch.history(batch.ids.tolist().index(shop.ids["ada"]))
    assert sorted((each.category, each.properties.get("size")) for each in history.events["Product Viewed"][1:3]) == [
        ("cat", 3),
        ("dog", 2),
    ]
    assert [each.properties for each in history.events["Product Viewed"][::3]] == [{}, {}]
    for many in (2, FEW + 2):
        batch = shop.batch(nodes, NOW, [*shop.ids.values(), *range(2, many)])
        truths = evaluate(dict(enumerate(nodes)), batch, shop.world, micros(NOW))
        assert [batch.ids[each].tolist() for each in truths.values()] == [[shop.ids["ada"]]] * 2


def test_nobody_else_is_in(shop: Shop, db: Database) -> None:
    """Neither those who do not exist nor another site's, whatever is asked of them."""
    with db.session() as session:
        create_site(session, "Other", ["https://other.example"])
        insert = "insert into customer (site_id, attributes) values (%s, '{}') returning id"
        ((stranger,),) = session.raw.execute(insert, [session.site_id]).fetchall()
    node = shop.node({"not": ALL})
    ids = [shop.ids["bob"], stranger, 1]
    for asked in ([], ids, [*ids, *range(2, FEW + 2)]):
        batch = shop.batch([node], NOW, asked)
        truths = evaluate({"rule": node}, batch, shop.world, micros(NOW))["rule"]
        assert truths.dtype == np.bool_
        assert batch.ids[truths].tolist() == [shop.ids["bob"]][: len(asked)]
