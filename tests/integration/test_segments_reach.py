"""Rules over subscriptions and over what became of messages: SQL against the naive judge, window edges included."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import select

from push_server.audiences.rules import SiteRules
from push_server.campaigns.models import Campaign
from push_server.db import Database, SiteSession
from push_server.delivery.models import Dispatch, delivery, receipt
from push_server.sites.models import VapidKey
from push_server.sites.service import create_site
from push_server.subscriptions.models import Subscription
from segments.core import Outcome
from tests.doubles.scripted_push import ScriptedPush
from tests.integration.segments_judge import Browser, Judge, Message, Shopper
from tests.integration.sending import Shop, push_service
from tests.integration.test_segments_agree import (
    CATALOGUE,
    NOW,
    SPANS,
    STEP,
    TICK,
    ZONE,
    instants,
    orders,
    property_tests,
    shoppers,
    stock,
)

CAMPAIGNS = [str(UUID(int=number)) for number in (1, 2, 3)]  # nobody was sent the third one
DAY = timedelta(days=1)
FACTS: dict[str, list[Any]] = {
    "browser": ["firefox", "chrome", None],
    "locale": ["hu-HU", "dog", "5", None],
    "time_zone": [ZONE, "America/Los_Angeles", None],
    "topics": [[], ["dog"], ["dog", "5"], ["Dog", "100%"]],
}


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


windows = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"within": st.sampled_from(SPANS)}),
    st.fixed_dictionaries({"within": st.sampled_from(SPANS)}),
    st.fixed_dictionaries({"from": st.sampled_from(["2026-02-25", "2026-02-27T12:00:00Z"])}),
    st.just({"from": "2026-02-26T12:00:00Z", "to": "2026-03-01"}),
)
messages = st.builds(
    lambda outcome, campaign, window: {"message": {"outcome": outcome, **campaign, **window}},
    st.sampled_from([outcome.value for outcome in Outcome]),
    st.sampled_from([{}, *({"campaign": id} for id in CAMPAIGNS)]),
    windows,
)
telling_tests = st.sampled_from(
    [
        ("browser", {"in": ["firefox"]}),
        ("browser", {"ne": "firefox"}),
        ("browser", {"exists": False}),
        ("locale", {"starts_with": "hu"}),
        ("topics", {"contains": "dog"}),
        ("created_at", {"within_last": "2d"}),
        ("created_at", {"before": "2026-02-28"}),
        ("created_at", {"gte": "2026-02-27T12:00:00Z"}),
    ]
)
any_tests = st.tuples(st.sampled_from([*FACTS, "created_at"]), property_tests)
subscriptions = st.lists(telling_tests | any_tests, max_size=2).map(lambda tests: {"subscription": dict(tests)})
topics = st.sampled_from(["dog", "Dog", "5", "100%", "none"]).map(lambda name: {"topic": name})
leaves = messages | subscriptions | topics
trees = st.recursive(
    leaves | orders,
    lambda children: st.one_of(
        st.lists(children, max_size=3).map(lambda found: {"all": found}),
        st.lists(children, max_size=3).map(lambda found: {"any": found}),
        children.map(lambda found: {"not": found}),
    ),
    max_leaves=4,
)


def test_sql_agrees_with_the_judge(db: Database) -> None:
    found = reach(shoppers(120))
    site_id = stock(db, found)
    with db.session(site_id=site_id) as session:
        ids = dict(session.raw.execute("select id, external_id from customer").fetchall())
        write(session, found, {name: id for id, name in ids.items()})
    telling: Counter[str] = Counter()

    def agrees(node: dict[str, Any], at: Any) -> None:
        rule = {"version": 1, "where": node}
        with db.session(site_id=site_id) as session:
            rules = SiteRules(session)
            members = session.sql(rules.members(rules.parse(rule), at)).scalars().all()
        if 0 < len(members) < len(found):
            telling[str(node.get("message", {}).get("outcome") or next(iter(node)))] += 1
        assert len(members) == len(set(members))
        expected = Judge(found, ZONE, CATALOGUE, at).members(rule)
        named = {ids[id] for id in members}
        wrong = [(who.id, who.id in expected, who) for who in found if (who.id in named) != (who.id in expected)]
        assert not wrong, json.dumps([rule, at.isoformat()]) + f" wrong for {len(wrong)}, first: {wrong[0]}"

    often = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    often(given(node=leaves, at=instants)(agrees))()
    often(given(node=trees, at=instants)(agrees))()
    wanted = {*Outcome, "subscription", "topic", "all", "any", "not"}
    assert not [kind for kind in wanted if telling[kind] < 5], f"too few rules hold for some and not others: {telling}"


@pytest.fixture
def push(db: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedPush]:
    yield from push_service(monkeypatch)


@pytest.fixture
def shop(db: Database, push: ScriptedPush) -> Shop:
    return Shop.create(db, push)


def test_what_a_real_campaign_did_makes_members(shop: Shop) -> None:
    shop.customer("ada", "ada")
    shop.customer("bob")
    campaign = shop.send()
    accepted = {"message": {"campaign": campaign.upper(), "outcome": "accepted", "within": "1h"}}
    body = {"name": "Sent to", "rule": {"version": 1, "where": accepted}}
    made = shop.api.post("/v1/segments", json=body)
    assert made.status_code == 201, made.text
    assert made.json()["sentence"] == "Customers to whom the campaign “A campaign” was sent in the last 1 hour."
    members = shop.api.get(f"/v1/segments/{made.json()['id']}/members").json()["data"]
    assert [member["external_id"] for member in members] == ["ada"]
    with shop.db.session() as session:
        other = create_site(session, "Other", ["https://other.example"])
    shop.api.headers["Authorization"] = f"Bearer {other.secret_key}"
    refused = shop.api.post("/v1/segments", json=body)
    assert refused.status_code == 422
    fault = refused.json()["errors"][0]
    assert (fault["path"], fault["code"]) == ("$.rule.where.message.campaign", "unknown_campaign")
