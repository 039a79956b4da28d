"""Deleting old events changes no membership: each accepted rule holds for those for whom it holds with all events.

The naive judge, which has all events, says what is right; SQL, memory and columns see what is left. Histories sit on
window edges, and so does what is deleted.
"""

import json
import os
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from push_server import clock
from push_server.audiences.histories import load
from push_server.audiences.models import Segment, SegmentState
from push_server.audiences.whole import evaluate
from push_server.db import Database
from push_server.errors import Invalid
from push_server.events import retention
from push_server.sites.models import Site
from segments.clock import next_change
from segments.history import World, micros
from segments.needs import needs
from tests.integration.segments_rules import PARTS, instants
from tests.integration.segments_shop import CATALOGUE, LIFESPANS, NOW, ZONE, Shop, reach, shoppers

ASKED = os.environ.get("HOMING_TEST_EXAMPLES")
EXAMPLES = int(ASKED or 3000) // 10
KEPT, AGES = "2d", ["12h", "1d", "36h", "2d"]
NAMED = {
    "A": {"event": "Product Viewed", "within": "2d"},
    "B": {"event": "Searched", "count": {"gte": 2}},
    "C": {"all": [{"segment": "B"}, {"not": {"segment": "A"}}]},
}
LATER = NOW + retention.NOTICE

texts = st.sampled_from(["dog", "Dog", "cat", "5", "none", ""])
categories = st.one_of(
    st.just({}),
    texts.map(lambda each: {"where": {"category": {"eq": each}}}),
    texts.map(lambda each: {"where": {"category": {"ne": each}}}),
    st.lists(texts, min_size=1, max_size=3, unique=True).map(lambda some: {"where": {"category": {"not_in": some}}}),
)
numbers = st.sampled_from([0, 1, 2, 3, 5, 0.3, 5.1, 19.99])
compared = st.one_of(
    st.tuples(st.sampled_from(["eq", "ne", "gt", "gte", "lt", "lte"]), numbers).map(lambda x: {x[0]: x[1]}),
    numbers.map(lambda low: {"between": [low, low + 3]}),
)
made = st.one_of(
    compared.map(lambda asked: {"count": asked}),
    st.tuples(st.sampled_from(["sum", "min", "max"]), st.sampled_from(["price", "revenue"]), compared).map(
        lambda x: {x[0]: {"of": x[1], **x[2]}}
    ),
    st.tuples(st.sampled_from(["last", "first"]), st.sampled_from(["before", "within"]), st.sampled_from(AGES)).map(
        lambda x: {x[0]: {x[1]: x[2]}}
    ),
)
over_all_time = st.builds(
    lambda name, where, number: {"event": name, **where, **number},
    st.sampled_from(["Product Viewed", "Searched", "Order Shipped"]),
    categories,
    made,
)
others = st.sampled_from(["event", "order", "attribute", "sequence", "segment", "rank"]).flatmap(
    lambda kind: st.sampled_from(list(PARTS[kind])).flatmap(PARTS[kind].__getitem__)
)
leaves = st.one_of(over_all_time, over_all_time, others)
rules = st.one_of(
    over_all_time,
    others,
    st.lists(leaves, min_size=2, max_size=3).map(lambda found: {"all": found}),
    st.lists(leaves, min_size=2, max_size=3).map(lambda found: {"any": found}),
    leaves.map(lambda found: {"not": found}),
)


def often(examples: int) -> settings:
    phases = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)
    return settings(
        max_examples=examples,
        derandomize=not ASKED,
        deadline=None,
        phases=phases,
        suppress_health_check=[HealthCheck.too_slow],
    )


@pytest.fixture(scope="module")
def stock() -> Any:
    return reach(shoppers(40))


def keep(db: Database, site_id: int, default: str | None) -> None:
    with db.session() as session:
        site = session.get_one(Site, site_id)
        site.settings = {**site.settings, "retention": {"default": default, "events": {}}}


def delete_old(db: Database, monkeypatch: pytest.MonkeyPatch, batch: int = 7) -> int:
    """As the scheduler does, in many small batches, each tick stopped after one of them."""
    monkeypatch.setattr(retention, "BATCH", batch)
    monkeypatch.setattr(retention, "BUDGET", 0.0)
    clock.set_source(lambda: NOW)
    retention.plan(db)
    clock.set_source(lambda: LATER)
    gone = 0
    for _ in range(1000):
        done = retention.work(db)
        if not done and not waiting(db):
            return gone
        gone += done
    raise AssertionError("never done")


def waiting(db: Database) -> bool:
    with db.connect() as conn:
        return bool(conn.execute("select 1 from event_horizon where through < before").fetchall())


def test_every_accepted_rule_finds_whom_it_finds_with_all_events(
    db: Database, stock: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    accepted, told, refused, codes = set[str](), set[str](), set[str](), set[str]()
    with Shop(db, stock, NAMED) as shop:
        pass
    keep(db, shop.site_id, KEPT)
    with db.connect() as conn:
        before = conn.execute("select count(*) from event").fetchall()[0][0]
    gone = delete_old(db, monkeypatch)
    with db.connect() as conn:
        assert conn.execute("select count(*) from event").fetchall() == [(before - gone,)]
    assert gone > 50
    with shop:

        def agree(node: dict[str, Any], at: datetime) -> None:
            case = json.dumps([node, at.isoformat()])
            try:
                found, _lowered = shop.members(node, at)
            except Invalid as error:
                refused.add(case)
                codes.update(fault.code for fault in error.faults)
                return
            expected = found["judge"]
            differs = {way: sorted(members ^ expected) for way, members in found.items() if members != expected}
            assert not differs, f"{case} differs from the judge: {differs}"
            accepted.add(case)
            if 0 < len(expected) < len(stock):
                told.add(case)

        soon = st.sampled_from([LATER, LATER + timedelta(hours=12), LATER + timedelta(days=2)])
        often(EXAMPLES)(given(node=over_all_time, at=soon)(agree))()
        often(EXAMPLES)(given(node=rules, at=st.one_of(soon, instants))(agree))()
    with capsys.disabled():
        print(
            f"\nretention: {gone} of {before} events deleted; {len(accepted)} rules agree, {len(told)} of them hold for"
            f" some only; {len(refused)} refused"
        )
    assert codes == {"beyond_retention", "before_retention"}
    assert len(told) > EXAMPLES / 3
    assert len(refused) > EXAMPLES / 20


def test_members_and_next_instants_stay_as_they_are(db: Database, stock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes: list[dict[str, Any]] = []
    often(120)(given(node=rules)(lambda node: nodes.append(node)))()
    with Shop(db, stock, NAMED) as shop:
        pass
    clock.set_source(lambda: LATER)
    keep(db, shop.site_id, KEPT)
    ids: list[int] = []
    with db.session(site_id=shop.site_id) as session, shop:
        for node in nodes:
            document = {"version": 1, "where": shop.written(node)}
            try:
                shop.rules.parse(document)
            except Invalid:
                continue
            segment = Segment(name=str(len(ids)), rule=document, sentence="")
            session.add(segment)
            session.flush()
            evaluate(session, segment, LATER)
            ids.append(segment.id or 0)
    instants_before = next_instants(db, shop, ids)
    assert len(ids) > 50
    assert delete_old(db, monkeypatch) > 50
    with db.session(site_id=shop.site_id) as session:
        last = session.raw.execute("select coalesce(max(id), 0) from membership_change").fetchall()[0][0]
        for id in ids:
            segment = session.get_one(Segment, id)
            assert segment.state == SegmentState.READY
            evaluate(session, segment, LATER)
        moved = session.raw.execute(
            "select s.rule, c.customer_id, c.entered from membership_change c join segment s on s.id = c.segment_id"
            " where c.id > %s",
            [last],
        ).fetchall()
    assert moved == []
    assert next_instants(db, shop, ids) == instants_before


def next_instants(db: Database, shop: Shop, ids: list[int]) -> dict[tuple[int, str], int | None]:
    """When each customer's membership of each segment changes by time alone."""
    found = {}
    with shop:
        session = shop.rules.session
        for id in ids:
            node = shop.rules.parse(session.get_one(Segment, id).rule).lower()
            asked = needs([node], shop.rules.node)
            if any(kind in repr(node) for kind in ("Rank", "Rfm")):
                continue
            world = World(ZONE, shop.rules.node, CATALOGUE, LIFESPANS, {})
            batch = load(session.raw, shop.site_id, shop.names, asked, micros(LATER))
            for place, customer in enumerate(batch.ids.tolist()):
                found[id, shop.names[customer]] = next_change(node, batch.history(place), world, micros(LATER))
    return found
