"""Segments whose members are found in the background: what is said of them meanwhile, and that they come out right."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from push_server import clock
from push_server.audiences import backfill, refresh, service, waiting
from push_server.audiences.models import Segment
from push_server.audiences.rules import SiteRules
from push_server.db import Database
from push_server.settings import settings
from tests.integration.audiences.shop import EVERYONE, NOW, ORDER, Api, at, rule
from tests.integration.test_refresh_agrees import RULES, World, check
from tests.integration.test_supervisor import until

VIP = {"attribute": "vip", "eq": True}
END = 4242
"""The lock that a rule without end waits for."""
WAITING = "select from pg_locks where locktype = 'advisory' and objid = %s and not granted"
# A new one, with connections of its own, as soon as the last one is dead; each tells its number first. Slices are
# narrow, and few customers are written at once, so that there is much to be interrupted.
AT_ONCE = service.AT_ONCE  # the product's own, which other tests here widen
WORKERS = """
import os, time
from push_server import tables
from push_server.audiences import backfill, refresh
from push_server.db import database
backfill.LEAST_WIDTH, backfill.SLICE, backfill.AT_ONCE, backfill._TICK = 2**31 // 25, 0, 4, 0
parent = os.getpid()
while True:
    if os.fork():
        os.wait()
        continue
    print(os.getpid(), flush=True)
    while os.getppid() == parent:
        refresh.tick(database())
        backfill.tick(database())
    os._exit(0)
"""


@pytest.fixture
def nothing_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """All members are found in the background, and each look there is one slice of each segment."""
    monkeypatch.setattr(service, "AT_ONCE", 0)
    monkeypatch.setattr(backfill, "_TICK", 0)


def finish(db: Database) -> None:
    while backfill.tick(db):
        pass


def test_a_segment_says_how_far_it_is_and_when_it_is_usable(api: Api, db: Database, nothing_at_once: None) -> None:
    api.customers(*(f"c{number}" for number in range(40)), vip=True)
    made = api.segment("Vip", VIP)
    path = f"/v1/segments/{made['id']}"
    assert (made["state"], made["progress"]) == ("pending", 0.0)
    assert (made["size"], made["reachable"], made["fresh_at"], made["problem"]) == (None, None, None, None)
    told: list[float] = []
    while (now := api.call("GET", path))["state"] == "pending":
        told.append(now["progress"])
        assert now["size"] is None
        assert api.call("GET", "/v1/segments")["data"] == [now]
        refused = api.client.get(f"{path}/members")
        assert (refused.status_code, refused.json()["code"]) == (409, "segment_pending")
        assert refused.headers["Retry-After"] == "2"
        assert f"“Vip” are still being found, {int(now['progress'] * 100)}%" in refused.json()["detail"]
        assert api.call("POST", f"{path}/export", 409)["code"] == "segment_pending"
        assert api.call("GET", "/v1/customers/c1/segments")["data"] == []
        assert backfill.tick(db) == 1
    assert told == sorted(set(told))
    assert len(told) > 2
    assert (now["state"], now["progress"], now["size"], now["fresh_at"]) == ("ready", 1.0, 40, "2026-03-01T12:00:00Z")
    assert len(api.members(made["id"])) == 40
    assert len(api.call("GET", "/v1/customers/c1/segments")["data"]) == 1


def test_what_is_made_of_an_edited_segment_follows_in_the_background(
    api: Api, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.customers("a", "b", vip=True)
    api.customers("c")
    vip = api.segment("Vip", VIP)["id"]
    others = api.segment("Others", {"not": {"segment": vip}})["id"]
    alone = api.segment("Alone", EVERYONE)["id"]
    monkeypatch.setattr(service, "AT_ONCE", 0)
    changed = api.call("PATCH", f"/v1/segments/{vip}", json={"rule": rule({"not": VIP})})
    assert (changed["state"], changed["size"]) == ("pending", None)
    states = {row["id"]: (row["state"], row["progress"]) for row in api.call("GET", "/v1/segments")["data"]}
    assert states == {vip: ("pending", 0.0), others: ("pending", 0.0), alone: ("ready", 1.0)}
    assert api.call("GET", f"/v1/segments/{others}/members", 409)["code"] == "segment_pending"
    asked = api.call("POST", "/v1/segments/overlap", 409, json={"segments": [alone, others]})
    assert asked["code"] == "segment_pending"
    finish(db)
    assert set(api.members(vip)) == {"c"}
    assert set(api.members(others)) == {"a", "b"}


def test_an_edit_meanwhile_counts(api: Api, db: Database, nothing_at_once: None) -> None:
    api.customers(*(f"c{number}" for number in range(20)), vip=True)
    made = api.segment("Vip", VIP)["id"]
    backfill.tick(db)
    api.call("PATCH", f"/v1/segments/{made}", json={"rule": rule({"not": VIP})})
    assert api.call("GET", f"/v1/segments/{made}")["progress"] == 0.0
    finish(db)
    assert api.members(made) == {}
    api.call("PATCH", f"/v1/segments/{made}", json={"rule": rule(VIP)})
    backfill.tick(db)
    api.call("DELETE", f"/v1/segments/{made}", 204)
    assert backfill.tick(db) == 0


def test_who_changed_after_he_was_found_is_as_he_is_now(
    api: Api, db: Database, nothing_at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "FIRST_WIDTH", waiting.LAST_ID)  # all in one slice
    api.customers("goes", "stays", "buys", vip=True)
    api.customers("comes", vip=False)
    made = api.segment("Vip", VIP)["id"]
    write = backfill._write

    def later(*found: Any) -> None:
        api.order("buys")  # which is nothing that the rule asks
        refresh.tick(db)
        api.customers("goes", vip=False)
        api.customers("comes", vip=True)
        refresh.tick(db)
        write(*found)

    monkeypatch.setattr(backfill, "_write", later)
    finish(db)
    assert set(api.members(made)) == {"stays", "buys", "comes"}
    check(db, api.site_id, NOW)


@pytest.mark.parametrize("seed", [pytest.param(0, marks=pytest.mark.nightly), 1])
def test_changes_meanwhile_are_not_lost(
    seed: int, db: Database, nothing_at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Things happen between slices, and between a slice being found and its being written."""
    at(NOW)
    world = World(Api(db), seed)
    monkeypatch.setattr(backfill, "AT_ONCE", 2)
    write = backfill._write

    def later(*found: Any) -> None:
        happen()
        write(*found)

    def happen() -> None:
        for _ in range(world.random.randrange(3)):
            world.happen()
        world.now += timedelta(seconds=world.random.choice([0, 0, 1, 1000, 4000]))
        at(world.now)
        refresh.tick(db)

    with world.api.client:
        for _ in range(60):
            world.happen()
        made = [world.api.segment(f"{number}", rule)["id"] for number, rule in enumerate(RULES)]
        world.api.segment("nested", {"all": [{"segment": made[4]}, {"not": {"segment": made[1]}}]})
        monkeypatch.setattr(backfill, "_write", later)
        while backfill.tick(db):
            happen()
    finish(db)
    world.now += timedelta(seconds=3)
    at(world.now)
    refresh.tick(db)
    check(db, world.api.site_id, clock.now())


def test_others_stay_fresh_while_a_slow_rule_is_evaluated(
    api: Api, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rule that does not come to an end holds up neither who makes it, nor who follows events."""
    clock.set_source(None)
    monkeypatch.setattr(service, "AT_ONCE", AT_ONCE)
    monkeypatch.setenv("HOMING_RULE_TIMEOUT", "600")
    settings.cache_clear()
    api.customers("a", "b", slow=True)
    buyers = api.segment("Buyers", ORDER)["id"]
    members = SiteRules.members

    def slowly(self: SiteRules, read: Any, *more: Any) -> Any:
        found = members(self, read, *more)
        is_slow = "slow" in self.sentence(read)
        return found.where(select(func.pg_advisory_xact_lock(END)).scalar_subquery().is_not(None)) if is_slow else found

    monkeypatch.setattr(SiteRules, "members", slowly)
    with db.connect() as holder:
        holder.execute("select pg_advisory_lock(%s)", [END])
        slow = api.segment("Slow", {"attribute": "slow", "eq": True})
        assert slow["state"] == "pending"
        working = threading.Thread(target=backfill.tick, args=(db,))
        working.start()
        until(lambda: holder.execute(WAITING, [END]).fetchall())
        for number in range(6):
            api.order(f"b{number}", clock.now())
            until(lambda number=number: f"b{number}" in api.members(buyers))  # type: ignore[misc]
        assert working.is_alive()
        monkeypatch.setattr(SiteRules, "members", members)
        holder.execute("select pg_advisory_unlock(%s)", [END])
        working.join()
    settings.cache_clear()
    finish(db)
    assert set(api.members(slow["id"])) == {"a", "b"}


def test_killed_at_any_moment_it_is_gone_on_with(api: Api, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    clock.set_source(None)
    names = [f"c{number}" for number in range(300)]
    with db.session(site_id=api.site_id) as session:
        session.raw.execute(
            "insert into customer (site_id, external_id, attributes) select %s, name,"
            " jsonb_build_object('vip', right(name, 1) <> '7') from unnest(%s::text[]) as name",
            [api.site_id, names],
        )
    monkeypatch.setattr(service, "AT_ONCE", 0)
    ids = [api.segment("Vip", VIP)["id"], api.segment("Not", {"not": {**ORDER, "count": {"gte": 2}}})["id"]]
    chance, told, kills, longest = random.Random(5), [0.0], 0, 0.3
    before: list[float] = []
    with subprocess.Popen([sys.executable, "-c", WORKERS], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        while any(api.call("GET", f"/v1/segments/{id}")["state"] != "ready" for id in ids):
            worker = int(parent.stdout.readline())
            name = chance.choice(names)
            api.order(name, clock.now(), order_id=f"o{kills}")
            api.customers(chance.choice(names), vip=chance.random() < 0.5)
            time.sleep(chance.uniform(0, longest))
            os.kill(worker, signal.SIGKILL)
            kills += 1
            progress = [api.call("GET", f"/v1/segments/{id}")["progress"] for id in ids]
            longest = 0.3 if progress != before else longest * 1.5  # a slow machine gets nowhere in so little
            before = progress
            told.append(progress[0])
        parent.kill()
    assert told == sorted(told)
    assert len([share for share in set(told) if 0 < share < 1]) > 3
    now = clock.now() + timedelta(seconds=1)
    at(now)
    refresh.tick(db)
    check(db, api.site_id, now)
    with db.session(site_id=api.site_id) as session:
        assert session.get_one(Segment, 1).size
