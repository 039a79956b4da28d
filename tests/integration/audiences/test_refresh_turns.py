"""Rules that turn at instants which hang on several facts: at the very instant, and without looking at everyone."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from push_server import clock
from push_server.audiences import refresh, turns
from push_server.db import Database, database
from tests.integration.audiences.shop import NOW, ORDER, Api, at
from tests.integration.test_refresh_agrees import check, tell
from tests.integration.test_subscriptions import FIREFOX, subscription

TICK, DAY, HOUR = timedelta(microseconds=1), timedelta(days=1), timedelta(hours=1)
GAP: dict[str, Any] = {"order_gap": {"ratio": {"gte": 2}, "min_orders": 2}}


def buys_twice(api: Api) -> datetime:
    """Orders a day apart; twice that after the second one he is late."""
    api.order("him", NOW - DAY)
    api.order("him", NOW)
    return NOW + 2 * DAY


def buys_what_runs_out(api: Api) -> datetime:
    product = {"product_id": "food", "lifespan_days": 30}
    api.call("PUT", "/v1/products", json={"products": [product, {"product_id": "bowl", "lifespan_days": 12}]})
    api.order("him", NOW, products=[{"product_id": "food", "price": 5, "quantity": 1}])
    return NOW + 23 * DAY


def is_shown_a_message(api: Api) -> datetime:
    api.customers("him")
    with database().session(site_id=api.site_id) as session:
        him = session.raw.execute("select id from customer").fetchall()[0][0]
        tell(session, him, ["shown"], NOW)
    return NOW + DAY


def opts_in(api: Api) -> datetime:
    body = {"subscription": subscription(FIREFOX + "him"), "anonymousId": "x", "userId": "him"}
    key = {"writeKey": api.site.public_key}
    assert api.client.post("/v1/subscriptions", json={**body, **key}).is_success
    return NOW + DAY


def books(api: Api) -> datetime:
    event = {"event": "Appointment Booked", "properties": {"starts_at": (NOW + 2 * DAY).isoformat()}}
    api.call("POST", "/v1/track", json={**event, "userId": "him", "timestamp": NOW.isoformat()})
    return NOW + DAY


CASES: dict[str, tuple[Callable[[Api], datetime], dict[str, Any]]] = {
    "order_gap": (buys_twice, GAP),
    "replenish": (buys_what_runs_out, {"replenish": {"within": "7d"}}),
    "message": (is_shown_a_message, {"not": {"message": {"outcome": "shown", "within": "1d"}}}),
    "subscription": (opts_in, {"not": {"subscription": {"created_at": {"within_last": "1d"}}}}),
    "where": (books, {"event": "Appointment Booked", "where": {"starts_at": {"within_next": "1d"}}}),
}


def tick(db: Database, instant: datetime) -> None:
    at(instant)
    refresh.tick(db)


def stored(db: Database, segment: str) -> tuple[int, datetime]:
    """How many members a segment has as the table has it, and when it was evaluated whole."""
    with db.connect() as conn:
        row = conn.execute("select size, fresh_at from segment where public_id = %s", [segment]).fetchone()
    assert row is not None
    return row


@pytest.mark.parametrize("name", CASES)
def test_an_idle_site_turns_at_the_instant_and_looks_at_nobody_else(api: Api, db: Database, name: str) -> None:
    happens, rule = CASES[name]
    turn = happens(api)
    segment = api.segment(name, rule)["id"]
    tick(db, NOW + timedelta(seconds=1))
    before = stored(db, segment)
    tick(db, turn - HOUR)
    tick(db, turn - TICK)
    assert stored(db, segment) == before == (0, before[1]), "never early, and nothing was evaluated whole"
    tick(db, turn)
    assert stored(db, segment) == (1, before[1])
    check(db, api.site_id, turn)


@pytest.mark.parametrize("name", CASES)
def test_what_came_while_nobody_ticked_is_worked_off(api: Api, db: Database, name: str) -> None:
    happens, rule = CASES[name]
    segment = api.segment(name, rule)["id"]
    tick(db, NOW)  # the facts find the rule's instants filled
    turn = happens(api)
    tick(db, NOW)
    tick(db, turn - HOUR)
    before = stored(db, segment)
    tick(db, turn + HOUR)
    assert stored(db, segment) == (1, before[1])


def test_strictly_above_the_ratio_is_a_microsecond_later(api: Api, db: Database) -> None:
    turn = buys_twice(api)
    segment = api.segment("late", {"order_gap": {"ratio": {"gt": 2}, "min_orders": 2}})["id"]
    tick(db, NOW + HOUR)
    for instant, size in ((turn, 0), (turn + TICK, 1)):
        tick(db, instant)
        assert stored(db, segment)[0] == size


def test_both_ends_of_a_ratio_turn(api: Api, db: Database) -> None:
    turn = buys_twice(api)
    segment = api.segment("late", {"order_gap": {"ratio": {"between": [2, 3]}, "min_orders": 2}})["id"]
    tick(db, NOW + HOUR)
    sizes = []
    for instant in (turn - TICK, turn, turn + DAY, turn + DAY + TICK):
        tick(db, instant)
        sizes.append(stored(db, segment)[0])
    assert sizes == [0, 1, 1, 0]


def test_a_new_condition_is_filled_by_and_by(api: Api, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "FILLING", 0)
    monkeypatch.setattr(turns, "_FEWEST", 2)
    for number in range(7):
        api.order(f"c{number}", NOW - DAY - number * HOUR)
        api.order(f"c{number}", NOW)
    segment = api.segment("late", GAP)["id"]
    now = NOW
    while behind(db):
        now += 13 * HOUR
        tick(db, now)
        check(db, api.site_id, now)
    assert now == NOW + 52 * HOUR, "two a step; the first has turned since the last look at everyone"
    before = stored(db, segment)
    for hour in range(53, 64):
        tick(db, NOW + hour * HOUR)
        check(db, api.site_id, clock.now())
    assert stored(db, segment) == (7, before[1])


def behind(db: Database) -> bool:
    with db.connect() as conn:
        rows = conn.execute("select filled_to from timed_leaf").fetchall()
    return any(filled_to is not None for (filled_to,) in rows) or not rows


def test_what_cannot_be_stored_keeps_no_other_segment_back(
    api: Api, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = buys_twice(api)
    late, seen = api.segment("late", GAP)["id"], api.segment("seen", {"event": "Product Viewed"})["id"]
    instants_of = turns.instants_of
    monkeypatch.setattr(turns, "instants_of", lambda *args: instants_of(*args).where(text("1 / (1 - 1) = 1")))
    monkeypatch.setattr(turns, "_PAUSE", 0)
    api.call("POST", "/v1/track", json={"event": "Product Viewed", "userId": "him", "properties": {}})
    tick(db, turn)
    assert (stored(db, late)[0], stored(db, seen)[0]) == (1, 1)
    monkeypatch.undo()
    tick(db, turn + HOUR)
    assert not behind(db)


def test_what_changes_while_a_process_pauses_is_not_missed_afterwards(
    api: Api, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that failed and was then lost with its transaction leaves the pause, and conditions that are full."""
    turn = buys_twice(api)
    late = api.segment("late", GAP)["id"]
    tick(db, NOW + HOUR)
    with db.connect() as conn:
        [id] = conn.execute("select id from timed_leaf").fetchone() or [0]
    monkeypatch.setattr(turns, "_not_before", {id: time.monotonic() + 300})
    api.order("other", NOW - 2 * DAY)
    api.order("other", NOW)
    tick(db, NOW + 2 * HOUR)
    assert behind(db)
    monkeypatch.setattr(turns, "_not_before", {})
    tick(db, NOW + 3 * HOUR)
    assert rows(db) == {"him": [turn], "other": [NOW + 4 * DAY]}
    assert stored(db, late)[0] == 0


def test_nothing_stays_of_what_is_no_more(api: Api, db: Database) -> None:
    turn = buys_twice(api)
    for each in ("other", "erased"):
        api.order(each, NOW - 2 * DAY)
        api.order(each, NOW)
    segment = api.segment("late", GAP)["id"]
    tick(db, NOW + HOUR)
    assert rows(db) == {"him": [turn], "other": [NOW + 4 * DAY], "erased": [NOW + 4 * DAY]}
    api.call("DELETE", "/v1/customers/erased", 204)
    api.order("him", NOW + DAY)  # his rhythm is the same, and he is later
    tick(db, NOW + DAY)
    assert rows(db) == {"him": [NOW + 3 * DAY], "other": [NOW + 4 * DAY]}
    path = f"/v1/segments/{segment}"
    other = {"order_gap": {"ratio": {"gte": 1}, "min_orders": 3}}
    api.call("PATCH", path, json={"rule": {"version": 1, "where": other}})
    tick(db, NOW + DAY)
    assert rows(db) == {"him": [NOW + 2 * DAY]}
    api.call("DELETE", path, 204)
    tick(db, NOW + DAY)
    assert rows(db) == {}
    with db.connect() as conn:
        assert conn.execute("select count(*) from timed_leaf").fetchone() == (0,)


def test_a_merge_makes_one_rhythm_of_two(api: Api, db: Database) -> None:
    api.order("him", NOW - 2 * DAY)
    for back in (DAY, 0 * DAY):
        event = {**ORDER, "anonymousId": "b", "timestamp": (NOW - back).isoformat()}
        api.call("POST", "/v1/track", json={**event, "properties": {"order_id": f"{back}"}})
    segment = api.segment("late", GAP)["id"]
    tick(db, NOW + HOUR)
    assert rows(db) == {None: [NOW + 2 * DAY]}
    api.call("POST", "/v1/identify", json={"anonymousId": "b", "userId": "him", "traits": {}})
    before = stored(db, segment)
    tick(db, NOW + 2 * DAY - TICK)
    assert rows(db) == {"him": [NOW + 2 * DAY]}
    tick(db, NOW + 2 * DAY)
    assert stored(db, segment) == (1, before[1])


def test_a_clock_that_is_set_back_brings_passed_instants_again(api: Api, db: Database) -> None:
    turn = buys_twice(api)
    tick(db, turn + DAY)
    segment = api.segment("late", GAP)["id"]
    tick(db, turn + DAY)
    assert (stored(db, segment)[0], rows(db)) == (1, {})
    tick(db, turn - DAY)
    assert (stored(db, segment)[0], rows(db)) == (0, {"him": [turn]})
    tick(db, turn)
    assert stored(db, segment)[0] == 1


def test_local_dates_of_another_zone_turn_at_other_instants(api: Api, db: Database) -> None:
    event = {"event": "Appointment Booked", "properties": {"starts_at": "2026-03-03"}, "userId": "him"}
    api.call("POST", "/v1/track", json={**event, "timestamp": NOW.isoformat()})
    segment = api.segment("soon", {"event": "Appointment Booked", "where": {"starts_at": {"within_next": "1d"}}})["id"]
    tick(db, NOW + TICK)
    with db.connect() as conn:
        conn.execute("update site set time_zone = 'Europe/Budapest'")
    tick(db, NOW + HOUR)
    for instant, size in ((NOW + 11 * HOUR - TICK, 0), (NOW + 11 * HOUR, 1)):  # midnight an hour before Greenwich's
        tick(db, instant)
        assert stored(db, segment)[0] == size


def rows(db: Database) -> dict[str | None, list[datetime]]:
    """The stored instants, by customer."""
    with db.connect() as conn:
        found = conn.execute(
            "select external_id, array_agg(at order by at) from customer_turn t left join customer c"
            " on c.id = t.customer_id group by c.id, external_id"
        ).fetchall()
    return {customer: list(instants) for customer, instants in found}
