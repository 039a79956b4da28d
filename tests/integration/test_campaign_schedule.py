"""Campaigns that start when they should: once, by themselves, and by the wall clock of the shop when they recur."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text

from push_server import clock
from push_server.campaigns.starts import start_due
from push_server.db import Database
from tests.doubles.scripted_push import ScriptedPush
from tests.integration.sending import NOTIFICATION, Shop, later, push_service, tick, work

EARLY = "2026-03-27T07:00:00Z"  # a Friday, 08:00 in Budapest; the clocks are changed on Sunday
DAILY = {"at": "2026-03-28T09:00:00+01:00", "rrule": "FREQ=DAILY"}


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"at": "2026-03-27T06:58:00Z"}, "$.at", "in_past"),
    ({"at": "2026-03-28T09:00:00"}, "$.at", "instant"),
    ({"at": "2026-03-28"}, "$.at", "instant"),
    ({"at": "2026-02-30T09:00:00Z"}, "$.at", "instant"),
    ({"at": "9999-12-31T23:59:59-23:00"}, "$.at", "instant"),
    ({"at": 1774600000}, "$.at", "string_type"),
    ({"at": "2200-01-01T00:00:00Z"}, "$.at", "out_of_range"),
    ({"rrule": "FREQ=MINUTELY"}, "$.rrule", "rrule"),
    ({"rrule": "FREQ=DAILY"}, "$.rrule", "no_time"),
    ({"rrule": "FREQ=DAILY;BYHOUR=9;UNTIL=20260101"}, "$.rrule", "no_occurrence"),
    ({"at": "2026-03-28T09:00:00Z", "rrule": "FREQ=DAILY;UNTIL=20260328T090000"}, "$.rrule", "no_occurrence"),
    ({"rrule": "FREQ=YEARLY;BYHOUR=9;" + "BYMONTH=1" * 60}, "$.rrule", "string_too_long"),
    ({"local_time": "9:00"}, "$.local_time", "string_pattern_mismatch"),
    ({"best_time": False}, "$", "empty_schedule"),
    ({}, "$", "empty_schedule"),
    ({"when": "soon"}, "$.when", "extra_forbidden"),
]


@pytest.fixture
def push(db: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedPush]:
    yield from push_service(monkeypatch)


@pytest.fixture
def shop(db: Database, push: ScriptedPush) -> Shop:
    shop = Shop.create(db, push)
    assert shop.api.patch("/v1/site", json={"time_zone": "Europe/Budapest"}).status_code == 200
    now(EARLY)
    return shop


def now(text: str) -> None:
    """Stop the clock there. Push services would refuse what is signed by it, so these tests count rows."""
    clock.set_source(partial(datetime.fromisoformat, text))


def scheduled(shop: Shop, **schedule: str) -> str:
    campaign = shop.draft(schedule=schedule)
    assert shop.do(campaign, "schedule")["state"] == "scheduled"
    return campaign


def told(shop: Shop, campaign: str) -> tuple[str, str | None]:
    """State, and when it starts next."""
    found = shop.api.get(f"/v1/campaigns/{campaign}").json()
    return found["state"], found["next_at"]


def planned(shop: Shop, campaign: str) -> int:
    """Deliveries so far."""
    work("plan")
    return int(shop.report(campaign)["audience"])


def settle(shop: Shop) -> None:
    """As though everything planned so far had been accepted."""
    with shop.db.session() as session:
        session.sql(text("update delivery set state = 'accepted', due_at = null"))
    tick(shop.db)


def test_it_starts_at_its_time_and_not_before(shop: Shop) -> None:
    shop.customer("ada", "ada")
    campaign = scheduled(shop, at="2026-03-27T10:00:00+01:00")
    assert told(shop, campaign) == ("scheduled", "2026-03-27T09:00:00Z")
    now("2026-03-27T08:59:59Z")
    tick(shop.db)
    assert (told(shop, campaign)[0], planned(shop, campaign)) == ("scheduled", 0)
    now("2026-03-27T09:00:00Z")
    tick(shop.db)
    assert told(shop, campaign) == ("sending", None)
    tick(shop.db)
    assert planned(shop, campaign) == 1
    settle(shop)
    assert told(shop, campaign) == ("sent", None)


def test_a_scheduled_message_arrives(shop: Shop, push: ScriptedPush) -> None:
    clock.set_source(None)
    shop.customer("ada", "ada")
    campaign = scheduled(shop, at=clock.rfc3339(clock.now()))
    shop.work_until(lambda: shop.state(campaign) == "sent")
    assert push.shown() == {"ada": 1}


def test_a_recurring_one_keeps_to_the_shops_wall_clock(shop: Shop) -> None:
    shop.customer("ada", "ada")
    campaign = scheduled(shop, **DAILY)
    for turn, (start, following) in enumerate(
        [
            ("2026-03-28T08:00:00Z", "2026-03-29T07:00:00Z"),
            ("2026-03-29T07:00:00Z", "2026-03-30T07:00:00Z"),
            ("2026-03-30T07:00:00Z", "2026-03-31T07:00:00Z"),
        ],
        1,
    ):
        assert told(shop, campaign) == ("scheduled", start)
        now(start)
        tick(shop.db)
        assert told(shop, campaign) == ("sending", following)
        assert planned(shop, campaign) == turn  # the report adds them up
        settle(shop)


def test_its_own_first_time_is_one_of_a_rules(shop: Shop) -> None:
    campaign = scheduled(shop, at="2026-03-28T09:00:00.75+01:00", rrule="FREQ=DAILY")
    assert told(shop, campaign) == ("scheduled", "2026-03-28T08:00:00Z")


def test_it_ends_with_its_last_occurrence(shop: Shop) -> None:
    shop.customer("ada", "ada")
    campaign = scheduled(shop, rrule="FREQ=WEEKLY;BYDAY=FR;BYHOUR=9;COUNT=2")
    assert told(shop, campaign) == ("scheduled", "2026-03-27T08:00:00Z")
    now("2026-03-27T08:00:00Z")
    tick(shop.db)
    planned(shop, campaign)
    settle(shop)
    assert told(shop, campaign) == ("scheduled", "2026-04-03T07:00:00Z")
    now("2026-04-03T07:00:01Z")
    tick(shop.db)
    assert planned(shop, campaign) == 2
    settle(shop)
    assert told(shop, campaign) == ("sent", None)


def test_what_was_missed_is_sent_once(shop: Shop) -> None:
    shop.customer("ada", "ada")
    campaign = scheduled(shop, **DAILY)
    now("2026-04-02T10:00:00Z")
    for _ in range(3):
        tick(shop.db)
    assert planned(shop, campaign) == 1
    assert told(shop, campaign) == ("sending", "2026-04-03T07:00:00Z")
    with shop.db.session() as session:
        began, until = session.sql(text("select created_at, expires_at from dispatch")).one()
    # its life counts from when the last of them was due, not from the end of the stop
    assert began.isoformat() == "2026-04-02T07:00:00+00:00"
    assert until.isoformat() == "2026-04-03T07:00:00+00:00"


def test_the_next_time_comes_though_the_last_is_not_over(shop: Shop) -> None:
    shop.customer("ada", "ada")
    campaign = scheduled(shop, **DAILY)
    for start in ("2026-03-28T08:00:00Z", "2026-03-29T07:00:00Z"):
        now(start)
        tick(shop.db)
    assert planned(shop, campaign) == 2
    settle(shop)
    assert told(shop, campaign)[0] == "scheduled"


def test_schedulers_that_look_at_once_start_it_once(shop: Shop) -> None:
    shop.customer("ada", "ada")
    campaigns = [scheduled(shop, **DAILY) for _ in range(4)]
    now("2026-03-28T08:00:00Z")
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(start_due, [shop.db] * 6))
    assert [planned(shop, campaign) for campaign in campaigns] == [1] * 4


def test_one_that_cannot_start_is_paused_and_says_why(shop: Shop) -> None:
    shop.customer("ada", "ada")
    campaign, other = scheduled(shop, **DAILY), shop.draft()
    rule = {"version": 1, "where": {"all": []}}
    spare = shop.api.post("/v1/segments", json={"name": "All", "rule": rule}).json()["id"]
    assert shop.api.patch(f"/v1/campaigns/{other}", json={"audience": {"include": [spare]}}).status_code == 200
    shop.do(other, "schedule", DAILY)
    with shop.db.session() as session:
        session.sql(text("update segment set state = 'failed' where name = 'Everybody'"))
    now("2026-03-28T08:00:00Z")
    tick(shop.db)
    found = shop.api.get(f"/v1/campaigns/{campaign}").json()
    assert (found["state"], found["paused_at"]) == ("paused", "2026-03-28T08:00:00Z")
    assert "“Everybody”" in found["problem"]
    assert told(shop, other)[0] == "sending"
    assert shop.api.patch(f"/v1/campaigns/{campaign}", json={"audience": {"include": [spare]}}).status_code == 200
    assert shop.do(campaign, "resume")["problem"] is None
    assert told(shop, campaign) == ("scheduled", "2026-03-29T07:00:00Z")


def test_a_segment_that_a_campaign_waits_for_is_not_deleted(shop: Shop) -> None:
    campaign = scheduled(shop, **DAILY)
    answer = shop.api.delete(f"/v1/segments/{shop.segment}")
    assert (answer.status_code, answer.json()["code"]) == (409, "segment_in_use")
    assert "“A campaign”" in answer.json()["detail"]
    shop.do(campaign, "cancel")
    assert shop.api.delete(f"/v1/segments/{shop.segment}").status_code == 204


def test_scheduling_anew_moves_it(shop: Shop) -> None:
    campaign = scheduled(shop, **DAILY)
    again = shop.do(campaign, "schedule", {"at": "2026-05-01T12:00:00+02:00"})
    assert (again["schedule"], again["next_at"]) == ({"at": "2026-05-01T10:00:00Z"}, "2026-05-01T10:00:00Z")
    assert shop.do(campaign, "schedule")["next_at"] == "2026-05-01T10:00:00Z"
    listed = shop.api.get("/v1/campaigns").json()["data"][0]
    assert (listed["next_at"], listed["schedule"]) == (again["next_at"], again["schedule"])


def test_a_schedule_that_cannot_be_kept_is_refused_with_its_path(shop: Shop) -> None:
    campaign = shop.draft()
    body = {"name": "N", "audience": {"include": [shop.segment]}, "variants": [{"notification": NOTIFICATION}]}
    for schedule, path, code in REFUSED:
        answer = shop.api.post(f"/v1/campaigns/{campaign}/schedule", json=schedule)
        assert answer.status_code == 422, answer.text
        assert [(fault["path"], fault["code"]) for fault in answer.json()["errors"]] == [(path, code)]
        if code != "no_occurrence":  # which depends on when it is put in force
            answer = shop.api.post("/v1/campaigns", json={**body, "schedule": schedule})
            assert path.replace("$", "$.schedule") in [fault["path"] for fault in answer.json()["errors"]]
    assert told(shop, campaign) == ("draft", None)


def test_a_minute_late_is_in_time(shop: Shop) -> None:
    assert told(shop, scheduled(shop, at="2026-03-27T06:59:00Z")) == ("scheduled", EARLY)


def test_states_that_cannot_be_scheduled_or_sent(shop: Shop) -> None:
    assert shop.refused(shop.draft(), "schedule") == (422, "no_schedule")
    waiting = shop.draft(schedule=DAILY)
    assert shop.refused(waiting, "send") == (409, "has_schedule")
    shop.do(waiting, "schedule")
    assert shop.refused(waiting, "send") == (409, "already_scheduled")
    later(0)
    assert shop.refused(shop.start(), "schedule", DAILY) == (409, "already_sent")
