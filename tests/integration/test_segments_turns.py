"""Whatever turns by time alone and crosses no edge, turns at an instant that SQL would have stored for the customer."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from push_server.audiences.histories import load
from push_server.db import Database
from segments.clock import next_change
from segments.core import Leaf, Stream, leaves
from segments.edges import needs_instant
from segments.history import History, World, instant, micros
from segments.needs import needs
from segments.sql_instants import instants_of
from segments.testing import Case
from tests.integration.segments_rules import NAMES, PARTS, instants, span
from tests.integration.segments_shop import CATALOGUE, LIFESPANS, ZONE, Shop, reach, shoppers
from tests.integration.test_segments_agree import often
from tests.unit.segments.stepping import facts, on_edge

EXAMPLES: Final = 60
MOST_TURNS: Final = 20

near = st.builds(lambda op, length: {op: length}, st.sampled_from(["within_last", "within_next"]), span)
other = st.sampled_from(
    [{}, {"price": {"exists": True}}, {"brand": {"ne": "Rex"}}, {"category": {"in": ["dog", "cat"]}}]
)


def _where(stream: Stream) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(lambda name, test, more: {**more, name: test}, st.sampled_from(NAMES[stream]), near, other)


viewed = _where(Stream.EVENTS).map(lambda where: {"event": "Product Viewed", "where": where})
ordered = _where(Stream.ORDERS).map(lambda where: {"event": "Order Completed", "where": where})
bought = _where(Stream.LINES).map(lambda where: {"bought": where})
happened = viewed | ordered | bought
plain = st.sampled_from(["Product Viewed", "Searched", "Order Completed"]).map(lambda name: {"event": name})
within = st.just({}) | span.map(lambda each: {"within": each})
KINDS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "OrderGap": st.one_of(*PARTS["order_gap"].values()),
    "Message": st.one_of(*(rule for name, rule in PARTS["message"].items() if name.endswith(" within"))),
    "Subscribed": near.map(lambda test: {"subscription": {"created_at": test}}),
    "Tier": near.map(lambda test: {"tier": test}),
    "Fold": st.builds(
        lambda source, asked: {**source, **asked}, happened, st.just({}) | span.map(lambda w: {"within": w})
    ),
    "Edge": st.builds(lambda source, age: {**source, "last": {"within": age}}, happened, span),
    "Sequence": st.builds(lambda one, two: {"sequence": [one, two]}, plain, happened),
    "Sequence absent": st.builds(lambda one, two: {"sequence": [one, {**two, "absent": True}]}, plain, happened),
}


def turns(leaf: Leaf, history: History, world: World, at: int) -> Iterator[int]:
    """When the leaf turns, up to the first instant at which a fact is known to come."""
    horizon = min((fact for fact in facts(history) if fact > at), default=None)
    for _ in range(MOST_TURNS):
        following = next_change(leaf, history, world, at)
        if following is None or (horizon is not None and following >= horizon):
            return
        yield (at := following)


def test_every_turn_is_stored(db: Database, capsys: pytest.CaptureFixture[str]) -> None:
    found = Counter[str]()
    with Shop(db, reach(shoppers(60))) as shop:

        def agree(kind: str, node: dict[str, Any], at: datetime) -> None:
            session, rules = shop.rules.session, shop.rules
            (leaf,) = leaves(rules.parse({"version": 1, "where": node}).lower())
            assert needs_instant(leaf)
            stored: dict[int, set[int]] = {}
            for customer, turn in session.sql(instants_of(leaf, rules.binding(), at)):
                stored.setdefault(customer, set()).add(micros(turn))
            batch = load(session.raw, shop.site_id, shop.names, needs([leaf], rules.node), micros(at))
            world = World(ZONE, rules.node, CATALOGUE, LIFESPANS)
            for place, customer in enumerate(batch.ids.tolist()):
                for turn in turns(leaf, batch.history(place), world, micros(at)):
                    is_stored = not {turn, turn - 1}.isdisjoint(stored.get(customer, ()))
                    found[kind] += is_stored
                    assert is_stored or on_edge(leaf, Case(leaf, batch.history(place), world, micros(at)), turn), (
                        f"{json.dumps(node)} at {at} turns for {shop.names[customer]} at {instant(turn)}"
                    )

        for kind, rule in KINDS.items():
            often(EXAMPLES)(given(kind=st.just(kind), node=rule, at=instants)(agree))()
    with capsys.disabled():
        print(f"\nstored instants: {dict(found)} turns")
    assert set(+found) >= {kind for kind in KINDS if kind != "Tier"}, "none of the others' turns was looked at"
