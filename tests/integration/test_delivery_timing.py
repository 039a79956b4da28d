"""When deliveries go out: past quiet hours, and so many a minute."""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from push_server import clock
from push_server.campaigns.starts import start_due
from push_server.db import Database
from push_server.delivery import plan, sweep
from push_server.delivery.models import Dispatch
from push_server.settings import settings
from tests.doubles.scripted_push import ScriptedPush
from tests.integration.sending import Shop, later, lose_redis, push_service, tick, work

NIGHT = {"from": "21:00", "to": "08:00"}
EVENING = datetime(2027, 3, 27, 20, 30, tzinfo=UTC)  # of the night in which Europe's clocks go forward


@pytest.fixture
def push(db: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedPush]:
    yield from push_service(monkeypatch)


@pytest.fixture
def shop(db: Database, push: ScriptedPush) -> Shop:
    clock.set_source(lambda: EVENING)
    shop = Shop.create(db, push)
    zoned(shop, "ada", "Europe/Budapest")
    zoned(shop, "bob", "America/New_York")
    answer = shop.api.patch("/v1/site", json={"quiet_hours": NIGHT})
    assert answer.status_code == 200
    assert shop.api.get("/v1/site").json()["quiet_hours"] == NIGHT
    return shop


def zoned(shop: Shop, name: str, zone: str) -> None:
    shop.customer(name, name)
    with shop.db.session(site_id=shop.site_id) as session:
        session.sql(
            text("update customer set time_zone = :zone where external_id = :name"), {"zone": zone, "name": name}
        )


def planned(shop: Shop) -> list[datetime]:
    with shop.db.connect() as conn:
        rows = conn.execute("select not_before from delivery where state = 'queued' order by not_before").fetchall()
    return [at for (at,) in rows]


def go_on(shop: Shop, until: datetime) -> None:
    later((until - clock.now()).total_seconds())
    tick(shop.db)
    work()


def test_what_would_come_at_night_comes_in_the_morning(shop: Shop, push: ScriptedPush) -> None:
    campaign = shop.start()
    work()
    assert push.shown() == {"bob": 1}
    assert shop.states(campaign) == {"accepted": 1, "queued": 1}
    [waits] = shop.deliveries(campaign, "?state=queued")
    assert (waits["due_at"], waits["not_before"], waits["attempts"]) == ("2027-03-28T06:00:00Z", None, 1)
    go_on(shop, datetime(2027, 3, 28, 5, 59, tzinfo=UTC))
    assert push.shown() == {"bob": 1}
    go_on(shop, datetime(2027, 3, 28, 6, 0, 1, tzinfo=UTC))
    assert push.shown() == {"bob": 1, "ada": 1}
    assert push.asked["ada"] == 1


def test_the_zone_counts_that_he_is_in_by_then(shop: Shop, push: ScriptedPush) -> None:
    shop.start()
    work()
    with shop.db.session(site_id=shop.site_id) as session:
        session.sql(text("update customer set time_zone = 'America/Los_Angeles' where external_id = 'ada'"))
    go_on(shop, datetime(2027, 3, 28, 6, 0, 1, tzinfo=UTC))  # 23:00 there
    assert push.shown() == {"bob": 1}
    go_on(shop, datetime(2027, 3, 28, 15, 0, 1, tzinfo=UTC))
    assert push.shown() == {"bob": 1, "ada": 1}


@pytest.mark.parametrize(
    ("how", "more", "states", "reasons"),
    [
        ("drop", {}, {"accepted": 1, "suppressed": 1}, {"quiet_hours": 1}),
        ("ignore", {}, {"accepted": 2}, {}),
        ("defer", {"ttl": 3600}, {"accepted": 1, "expired": 1}, {"too_late": 1}),
    ],
)
def test_other_ways_to_meet_the_night(
    shop: Shop, how: str, more: dict[str, int], states: dict[str, int], reasons: dict[str, int]
) -> None:
    campaign = shop.start(quiet_hours=how, **more)
    work()
    assert (shop.states(campaign), shop.report(campaign)["reasons"]) == (states, reasons)


def test_a_test_comes_at_any_hour(shop: Shop, push: ScriptedPush) -> None:
    answer = shop.api.post(f"/v1/campaigns/{shop.draft()}/test", json={"customer": "ada"})
    assert answer.status_code == 202
    work()
    assert push.shown() == {"ada": 1}


def test_quiet_hours_are_taken_away(shop: Shop, push: ScriptedPush) -> None:
    assert shop.api.patch("/v1/site", json={"quiet_hours": None}).json()["quiet_hours"] is None
    shop.start()
    work()
    assert push.shown() == {"bob": 1, "ada": 1}


@pytest.mark.parametrize(
    "hours", [{"from": "21:00"}, {"from": "9:00", "to": "08:00"}, {"from": "08:00", "to": "08:00"}]
)
def test_no_quiet_hours(shop: Shop, hours: dict[str, str]) -> None:
    answer = shop.api.patch("/v1/site", json={"quiet_hours": hours})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["path"].startswith("$.quiet_hours")


def test_a_throttled_campaign_keeps_its_pace_past_the_night(
    shop: Shop, push: ScriptedPush, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOMING_CHUNK_SIZE", "1")  # pages of ten, so that the pace goes from one to the next
    settings.cache_clear()
    for number in range(24):
        zoned(shop, f"b{number}", "America/New_York")
    zoned(shop, "eva", "Europe/Budapest")
    campaign = shop.start(throttle_per_minute=10)
    work("plan")
    began, morning = clock.now(), datetime(2027, 3, 28, 6, tzinfo=UTC)
    times = planned(shop)
    assert times[:25] == [began + timedelta(seconds=6 * number) for number in range(25)]
    assert times[25:] == [morning, morning + timedelta(seconds=6)]
    for number in range(4):
        go_on(shop, began + timedelta(seconds=6 * number))
        assert shop.states(campaign) == {"accepted": number + 1, "queued": 26 - number}
    go_on(shop, morning)  # the sweeper stood still: it is night in New York by now
    go_on(shop, morning + timedelta(seconds=6))
    assert shop.states(campaign) == {"accepted": 6, "queued": 21}
    noon = datetime(2027, 3, 28, 12, tzinfo=UTC)
    assert planned(shop) == [noon + timedelta(seconds=6 * number) for number in range(21)]
    assert set(push.shown().values()) == {1}


def test_a_planner_that_died_keeps_the_pace(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMING_CHUNK_SIZE", "1")
    settings.cache_clear()
    shop.crowd(23)
    shop.start(throttle_per_minute=10, quiet_hours="ignore")
    with shop.db.session(site_id=shop.site_id) as session:
        plan._plan_page(session, session.get_one(Dispatch, 1))
    lose_redis()
    later(21)
    tick(shop.db)
    work("plan")
    times = planned(shop)
    assert len(times) == 25
    assert all(second - first >= timedelta(seconds=6) for first, second in itertools.pairwise(times))


def test_quiet_hours_that_come_after_the_plan_make_no_burst(shop: Shop, push: ScriptedPush) -> None:
    for number in range(4):
        zoned(shop, f"b{number}", "Europe/Budapest")
    shop.api.patch("/v1/site", json={"quiet_hours": None})
    campaign = shop.start(throttle_per_minute=60)
    work("plan")
    shop.api.patch("/v1/site", json={"quiet_hours": NIGHT})
    for number in range(6):
        go_on(shop, EVENING + timedelta(seconds=number))
    tick(shop.db)
    assert shop.states(campaign) == {"accepted": 1, "queued": 5}
    morning = datetime(2027, 3, 28, 6, tzinfo=UTC)
    assert planned(shop) == [morning + timedelta(seconds=number) for number in range(5)]


def test_what_is_due_waits_for_no_backlog(shop: Shop, push: ScriptedPush, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "BACKLOG", 0)
    shop.start(throttle_per_minute=2, quiet_hours="ignore")
    work("plan")
    for number in range(2):
        go_on(shop, EVENING + timedelta(seconds=30 * number))
        assert len(push.arrived) == number + 1


def test_each_gets_it_at_the_same_time_of_his_own_day(shop: Shop, push: ScriptedPush) -> None:
    zoned(shop, "kim", "Asia/Kolkata")
    shop.customer("eve", "eve")  # the site's zone: UTC
    campaign = shop.draft(schedule={"local_time": "09:00"}, ttl=3600)
    answer = shop.api.post(f"/v1/campaigns/{campaign}/schedule")
    assert (answer.status_code, answer.json()["schedule"]["local_time"]) == (200, "09:00")
    start_due(shop.db)
    work()
    assert push.arrived == []
    shown = {row["customer"]: row["not_before"] for row in shop.deliveries(campaign)}
    assert shown == {
        "kim": "2027-03-28T03:30:00Z",
        "ada": "2027-03-28T07:00:00Z",  # an hour earlier than the day before: summer has begun
        "eve": "2027-03-28T09:00:00Z",
        "bob": "2027-03-28T13:00:00Z",
    }
    for number, (_, at) in enumerate(sorted(shown.items(), key=lambda item: item[1])):
        go_on(shop, datetime.fromisoformat(at) - timedelta(seconds=1))
        assert len(push.arrived) == number
        go_on(shop, datetime.fromisoformat(at) + timedelta(seconds=1))
        assert int(push.arrived[-1].headers["ttl"]) > 3590, "its life begins when it is due"
    assert push.shown() == dict.fromkeys(["kim", "ada", "eve", "bob"], 1)


def test_the_hour_in_which_each_mostly_comes(shop: Shop, push: ScriptedPush) -> None:
    came = [
        {"type": "page", "userId": who, "timestamp": f"2027-03-{day:02}T{hour:02}:10:00Z", "messageId": f"{who}{day}"}
        for who, hour in (("ada", 17), ("bob", 23))  # 18:00 by both clocks, bob's on most of the days
        for day in range(10, 16)
    ]
    key = (shop.site.public_key, "")
    assert shop.api.post("/v1/batch", json={"batch": came}, auth=key).status_code == 200
    shop.customer("eve", "eve")
    with_default = shop.draft(schedule={"best_time": True, "local_time": "10:00"}, quiet_hours="ignore")
    without = shop.draft(schedule={"best_time": True}, quiet_hours="ignore")
    for campaign in (with_default, without):
        assert shop.api.post(f"/v1/campaigns/{campaign}/schedule").status_code == 200
    start_due(shop.db)
    work()
    for campaign, eve in ((with_default, "2027-03-28T10:00:00Z"), (without, "2027-03-28T18:00:00Z")):
        shown = {row["customer"]: row["not_before"] for row in shop.deliveries(campaign)}
        assert shown == {"ada": "2027-03-28T16:00:00Z", "bob": "2027-03-27T22:00:00Z", "eve": eve}


def test_after_a_pause_it_goes_on_at_its_pace(shop: Shop, push: ScriptedPush) -> None:
    shop.crowd(4)
    campaign = shop.start(throttle_per_minute=2, quiet_hours="ignore")
    work("plan")
    tick(shop.db)
    work()
    assert shop.states(campaign) == {"accepted": 1, "queued": 5}
    later(10)
    assert shop.api.post(f"/v1/campaigns/{campaign}/pause").status_code == 200
    later(3600)
    assert shop.api.post(f"/v1/campaigns/{campaign}/resume").status_code == 200
    tick(shop.db)
    work()
    assert len(push.arrived) == 1, "what was planned for the pause does not come all at once"
    later(21)
    tick(shop.db)
    work()
    assert len(push.arrived) == 2
