"""SQL against the naive judge: generated rules over a shop full of histories whose instants sit on window edges."""

import json
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from push_server import clock
from push_server.app import create_app
from push_server.audiences.rules import SiteRules
from push_server.db import Database
from push_server.sites.service import create_site
from segments.core import Op
from tests.integration.segments_judge import Judge, Shopper

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ZONE = "Europe/Budapest"
STEP = timedelta(hours=12)
TICK = timedelta(microseconds=1)
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
]
BIRTHDAYS = ["1992-02-29", "1990-02-28", "1991-03-01", "1985-03-08", "1970-12-31", "2000-01-01T23:00:00Z", "1990-02-30"]
SPANS = ["12h", "1d", "2d", "3d", "1w", "720m", "30d"]


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
    line: dict[str, Any] = {"product_id": chance.choice(["p1", "p2", "p3", "p4"])} if chance.random() < 0.9 else {}
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
            back = chance.choice([{}, {"revenue": 5}, {"total": 0.1}, {"revenue": 0.1}])
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


scalar = st.sampled_from([*TEXTS, *NUMBERS, True, False])
ordered = st.sampled_from([*NUMBERS, *DATES])
span = st.sampled_from(SPANS)


def _pair(pool: list[Any], key: Any = None) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(pool), min_size=2, max_size=2).map(lambda pair: sorted(pair, key=key))


ascending_dates = _pair(["2026-02-27", "2026-02-28", "2026-03-01", "2026-03-02"])
property_tests = st.one_of(
    st.fixed_dictionaries({"eq": scalar}),
    st.fixed_dictionaries({"ne": scalar}),
    st.fixed_dictionaries({"in": st.lists(scalar, min_size=1, max_size=3)}),
    st.fixed_dictionaries({"not_in": st.lists(scalar, min_size=1, max_size=3)}),
    *[st.fixed_dictionaries({operator: ordered}) for operator in ("gt", "gte", "lt", "lte")],
    st.fixed_dictionaries({"between": _pair(NUMBERS) | ascending_dates}),
    st.fixed_dictionaries({"contains": scalar}),
    st.fixed_dictionaries({"starts_with": st.sampled_from(TEXTS)}),
    st.fixed_dictionaries({"exists": st.booleans()}),
    *[st.fixed_dictionaries({operator: st.sampled_from(DATES)}) for operator in ("before", "after")],
    *[st.fixed_dictionaries({operator: span}) for operator in ("within_last", "within_next")],
)
attributes = st.one_of(
    st.tuples(st.sampled_from(["a", "b", "born", "nobody"]), property_tests).map(lambda x: {"attribute": x[0], **x[1]}),
    st.sampled_from(["1d", "7d", "1w", "30d", "364d", "400d"]).map(
        lambda n: {"attribute": "born", "anniversary_within": n}
    ),
)
comparisons = st.one_of(
    *[
        st.fixed_dictionaries({operator: st.sampled_from([0, 1, 2, 3, 5, 0.1, 0.3, 19.99, 20.09])})
        for operator in ("eq", "ne", "gt", "gte", "lt", "lte")
    ],
    st.fixed_dictionaries({"between": _pair([0, 1, 2, 5, 10])}),
    *[
        st.fixed_dictionaries({operator: st.lists(st.sampled_from([0, 1, 2, 5]), min_size=1, max_size=2)})
        for operator in ("in", "not_in")
    ],
)
windows = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"within": span}),
    st.fixed_dictionaries({"from": st.sampled_from(["2026-02-25", "2026-02-27T12:00:00Z"])}),
    st.fixed_dictionaries({"to": st.sampled_from(["2026-02-28", "2026-03-01T12:00:00Z"])}),
    st.just({"from": "2026-02-26T12:00:00Z", "to": "2026-03-01"}),
)


def _aggregates(names: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    of_property = [
        st.tuples(st.sampled_from(names), comparisons).map(lambda x, f=function: {f: {"of": x[0], **x[1]}})  # type: ignore[misc]
        for function in ("sum", "avg", "min", "max", "distinct")
    ]
    edges = [
        st.tuples(st.sampled_from(["before", "within"]), span).map(lambda x, e=edge: {e: {x[0]: x[1]}})  # type: ignore[misc]
        for edge in ("last", "first")
    ]
    return st.one_of(st.just({}), comparisons.map(lambda asked: {"count": asked}), *of_property, *edges)


def _where(names: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(names), property_tests, max_size=2)


events = st.builds(
    lambda name, where, window, aggregate: {"event": name, "where": where, **window, **aggregate},
    st.sampled_from(["Product Viewed", "Viewed Product", "Searched", "Order Shipped", "Order Refunded", "Unheard Of"]),
    _where(["category", "price", "size"]),
    windows,
    _aggregates(["revenue", "price", "category"]),
)
orders = st.builds(
    lambda name, where, window, aggregate: {"event": name, "where": where, **window, **aggregate},
    st.sampled_from(["Order Completed", "Completed Order"]),
    st.just({}) | _where(["category", "revenue", "order_id"]),
    windows,
    _aggregates(["revenue", "total", "category"]),
)
bought = st.builds(
    lambda where, window, aggregate: {"bought": where, **window, **aggregate},
    st.just({}) | _where(["category", "brand", "price", "quantity", "product_id", "revenue"]),
    windows,
    _aggregates(["revenue", "price", "quantity", "category", "product_id"]),
)
shares = st.builds(
    lambda percent, salt: {"sample": {"percent": percent, **salt}},
    st.sampled_from([0, 0.5, 30, 33.3, 100]),
    st.sampled_from([{}, {"salt": "x"}, {"salt": "ő%"}]),
)
points = st.one_of(
    comparisons.map(lambda asked: {"points": {"balance": asked}}),
    st.tuples(comparisons, span).map(lambda x: {"points": {"expiring": x[0], "within": x[1]}}),
)
tiers = property_tests.map(lambda test: {"tier": test})
# Drawn by kind, since one_of would give each the share of its many variants.
leaves = st.sampled_from([attributes, events, events, orders, orders, bought, bought, shares, points, tiers]).flatmap(
    lambda kind: kind
)
trees = st.recursive(
    leaves,
    lambda children: st.one_of(
        st.lists(children, max_size=3).map(lambda found: {"all": found}),
        st.lists(children, max_size=3).map(lambda found: {"any": found}),
        children.map(lambda found: {"not": found}),
    ),
    max_leaves=5,
)
instants = st.builds(
    lambda steps, ticks: NOW + STEP * steps + TICK * ticks, st.integers(-4, 6), st.sampled_from([0, 0, -1, 1])
)
seen: Counter[str] = Counter()
telling: Counter[bool] = Counter()


def _note(node: Any) -> None:
    if isinstance(node, dict):
        for key, value in node.items():
            seen[key] += 1
            _note(value)
    elif isinstance(node, list):
        for each in node:
            _note(each)


def test_sql_agrees_with_the_judge(db: Database) -> None:
    found = shoppers(150)
    site_id = stock(db, found)
    with db.session(site_id=site_id) as session:
        ids = dict(session.raw.execute("select id, external_id from customer").fetchall())
    assert len(ids) == len(found)

    def agrees(node: dict[str, Any], at: datetime) -> None:
        rule = {"version": 1, "where": node}
        with db.session(site_id=site_id) as session:
            rules = SiteRules(session)
            members = session.sql(rules.members(rules.parse(rule), at)).scalars().all()
        _note(node)
        telling[0 < len(members) < len(found)] += 1
        assert len(members) == len(set(members))
        expected = Judge(found, ZONE, CATALOGUE, at).members(rule)
        named = {ids[id] for id in members}
        wrong = [(who.id, who.id in expected, who) for who in found if (who.id in named) != (who.id in expected)]
        assert not wrong, json.dumps([rule, at.isoformat()]) + f" wrong for {len(wrong)}, first: {wrong[0]}"

    often = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    often(given(node=leaves, at=instants)(agrees))()
    often(given(node=trees, at=instants)(agrees))()
    wanted = {"all", "any", "not", "sample", "attribute", "event", "bought", "where", "within", "from", "to"}
    wanted |= {"points", "balance", "expiring", "tier"}
    wanted |= {"count", "sum", "avg", "min", "max", "distinct", "last", "first", *(op.value for op in Op)}
    assert not wanted - set(seen), f"never generated: {wanted - set(seen)}"
    assert telling[True] > 250, f"too few rules hold for some and not for others: {telling}"
