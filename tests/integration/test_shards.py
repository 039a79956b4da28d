"""Every rule's statement stays within a shard: run on each part of the customers by itself, it finds the members.

Two schemas stand for two nodes. Each has the rows of its customers in every table that would be distributed by
customer, and sees the other tables, of which each node would have a copy.
"""

import json
from datetime import datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from push_server.db import Database, SiteSession
from segments.core import Rank, Rfm
from segments.needs import everything
from segments.sql_thresholds import read_threshold, threshold
from tests.integration.segments_rules import PARTS, instants, trees
from tests.integration.segments_shop import Shop, reach, shoppers
from tests.integration.test_segments_agree import NAMED, often

SHARDS = ("shard_0", "shard_1")
DISTRIBUTED = (
    "event",
    "event_rollup",
    "order_value",
    "order_line",
    "points_value",
    "tier_change",
    "subscription",
    "delivery",
)
# By way of another row of the same customer's.
FOLLOWING = {
    "event_body": "seq in (select seq from {0}.event union select seq from {0}.order_value)",
    "receipt": "delivery_id in (select id from {0}.delivery)",
}


def divide(session: SiteSession) -> None:
    for place, shard in enumerate(SHARDS):
        session.raw.execute(f"create schema {shard}")
        mine = {"customer": "abs(id) % 2", **dict.fromkeys(DISTRIBUTED, "abs(customer_id) % 2")}
        parts = {table: f"{column} = {place}" for table, column in mine.items()}
        for table, condition in (parts | {name: each.format(shard) for name, each in FOLLOWING.items()}).items():
            session.raw.execute(f"create table {shard}.{table} as select * from public.{table} where {condition}")


def test_each_shard_finds_its_own_members(db: Database) -> None:
    found, sizes = reach(shoppers(40)), set[int]()
    with Shop(db, found, NAMED) as shop:
        session, rules = shop.rules.session, shop.rules
        divide(session)

        def agree(node: dict[str, Any], at: datetime) -> None:
            read = rules.parse({"version": 1, "where": shop.written(node)})
            asked = {leaf for leaf in everything([read.lower()], rules.node) if isinstance(leaf, Rank | Rfm)}
            rows = {leaf: session.sql(threshold(leaf, rules.binding(), at)).one() for leaf in asked}
            borders = {leaf: read_threshold(leaf, row) for leaf, row in rows.items()}
            statement = rules.members(read, at, borders)
            whole = set(session.sql(statement).scalars())
            for place, shard in enumerate(SHARDS):
                session.raw.execute(f"set local search_path = {shard}, public")
                own = set(session.sql(statement).scalars())
                session.raw.execute("set local search_path = public")
                assert own == {id for id in whole if id % 2 == place}, json.dumps([node, at.isoformat()])
            sizes.add(len(whole))

        for parts in PARTS.values():
            often(12)(given(node=st.one_of(*parts.values()), at=instants)(agree))()
        often(60)(given(node=trees, at=instants)(agree))()
    assert len(sizes) > 20
