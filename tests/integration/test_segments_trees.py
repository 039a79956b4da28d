"""Trees of conditions: a customer for every choice of five things to have done, and random trees about those."""

import json
from random import Random
from typing import Any

import pytest

from push_server import clock
from push_server.audiences.rules import SiteRules, evaluation
from push_server.db import Database, SiteSession
from push_server.sites.service import NewSite

KINDS = ["A", "B", "C", "D", "E"]
# A bit of a customer's id for each kind he did, and the last one for an attribute.
VIP = 2 ** len(KINDS)
NAMES = [*KINDS, "vip"]


@pytest.fixture
def session(db: Database, site: NewSite) -> Any:
    with db.session() as session:
        session.bind_site(session.raw.execute("select id from site").fetchall()[0][0])
        rows = [(id, session.site_id, json.dumps({"vip": id & VIP > 0})) for id in range(1, 2 * VIP)]
        cursor = session.raw.cursor()
        cursor.executemany("insert into customer (id, site_id, attributes) values (%s, %s, %s)", rows)
        for bit, kind in enumerate(KINDS):
            added = "insert into term (site_id, what, text) values (%s, 'event', %s) returning id"
            term = cursor.execute(added, [session.site_id, kind]).fetchall()[0][0]
            did = [(term, id, clock.now(), id * 10 + bit) for id, _, _ in rows if id >> bit & 1]
            cursor.executemany("insert into event (kind_id, customer_id, ts, seq) values (%s, %s, %s, %s)", did)
        yield session


@pytest.mark.parametrize("names", [KINDS, NAMES])
def test_members_are_those_for_whom_the_tree_is_true(session: SiteSession, names: list[str]) -> None:
    chance, rules = Random(5), SiteRules(session)
    for _ in range(300):
        tree = _tree(chance, names, 3)
        found = rules.members(rules.parse({"version": 1, "where": tree}), clock.now())
        with evaluation(session):
            members = sorted(session.sql(found).scalars())
        assert members == [id for id in range(1, 2 * VIP) if _holds(tree, id)], tree


def _tree(chance: Random, names: list[str], depth: int) -> dict[str, Any]:
    shape = chance.choice(["all", "any", "all", "any", "not", "leaf"]) if depth else "leaf"
    if shape == "leaf":
        name = chance.choice(names)
        if name == "vip":
            return {"attribute": "vip", "eq": True}
        return {"event": name, **chance.choice([{}, {"count": {"eq": 0}}, {"within": "7d"}])}
    if shape == "not":
        return {"not": _tree(chance, names, depth - 1)}
    return {shape: [_tree(chance, names, depth - 1) for _ in range(chance.choice([1, 2, 2, 3]))]}


def _holds(tree: dict[str, Any], id: int) -> bool:
    if "all" in tree:
        return all(_holds(each, id) for each in tree["all"])
    if "any" in tree:
        return any(_holds(each, id) for each in tree["any"])
    if "not" in tree:
        return not _holds(tree["not"], id)
    did = id >> NAMES.index(tree.get("event", "vip")) & 1 > 0
    return did != ("count" in tree)
