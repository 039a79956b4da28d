"""When deliveries go out: past quiet hours, and so many a minute."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from push_server import clock
from push_server.db import Database
from push_server.settings import settings
from tests.doubles.scripted_push import ScriptedPush
from tests.integration.sending import Shop, later, push_service, tick, work

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


def go_on(shop: Shop, until: datetime) -> None:
    later((until - clock.now()).total_seconds())
    tick(shop.db)
    work()


def test_what_would_come_at_night_comes_in_the_morning(shop: Shop, push: ScriptedPush) -> None:
    campaign = shop.start()
    work()
    assert push.shown() == {"bob": 1}
    assert shop.states(campaign) == {"accepted": 1, "queued": 1}
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
    with shop.db.connect() as conn:
        times = [at for (at,) in conn.execute("select not_before from delivery order by not_before")]
    assert times[:25] == [began + timedelta(seconds=6 * number) for number in range(25)]
    assert times[25:] == [morning, morning + timedelta(seconds=6)]
    tick(shop.db)
    work()
    assert shop.states(campaign) == {"accepted": 1, "queued": 26}
    go_on(shop, began + timedelta(seconds=59))
    assert shop.states(campaign) == {"accepted": 10, "queued": 17}
    go_on(shop, began + timedelta(minutes=3))
    go_on(shop, morning + timedelta(seconds=7))
    assert shop.states(campaign) == {"accepted": 27}
    assert set(push.shown().values()) == {1}


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
