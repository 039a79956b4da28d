"""What pausing, resuming, cancelling, changing and deleting a campaign does between its deliveries."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import text

from push_server import clock
from push_server.db import Database
from push_server.delivery import control, plan
from push_server.delivery.models import Dispatch
from push_server.settings import settings
from tests.doubles.scripted_push import Answer, ScriptedPush
from tests.integration.sending import NOTIFICATION, Shop, later, lose_redis, push_service, tick, work


@pytest.fixture
def push(db: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedPush]:
    yield from push_service(monkeypatch)


@pytest.fixture
def shop(db: Database, push: ScriptedPush) -> Shop:
    return Shop.create(db, push)


def soon(seconds: float = 3600) -> str:
    return clock.rfc3339(clock.now() + timedelta(seconds=seconds))


def patched(shop: Shop, campaign: str, **changes: object) -> tuple[int, list[str]]:
    """Status, and the paths of the faults."""
    answer = shop.api.patch(f"/v1/campaigns/{campaign}", json=changes)
    return answer.status_code, [fault["path"] for fault in answer.json().get("errors", [])]


def plan_one_page(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk is one customer, and so a page as many as it has chunks."""
    monkeypatch.setenv("HOMING_CHUNK_SIZE", "1")
    settings.cache_clear()
    with shop.db.session(site_id=shop.site_id) as session:
        plan._plan_page(session, session.get_one(Dispatch, 1))


def test_nothing_starts_while_paused_and_everything_at_once_after(shop: Shop, push: ScriptedPush) -> None:
    names = shop.crowd(3)
    campaign = shop.start()
    work("plan")
    shop.do(campaign, "pause")
    work()  # whose jobs come to nothing
    assert shop.states(campaign) == {"queued": 3}
    shop.do(campaign, "resume")
    tick(shop.db)
    work()
    assert push.shown() == dict.fromkeys(names, 1)


def test_a_planner_stops_at_its_checkpoint_and_goes_on_from_there(
    shop: Shop, push: ScriptedPush, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = shop.crowd(25)
    campaign = shop.start()
    plan_one_page(shop, monkeypatch)
    shop.do(campaign, "pause")
    later(60)
    tick(shop.db)
    work()
    assert shop.states(campaign) == {"queued": plan.CHUNKS_A_PAGE}
    shop.do(campaign, "resume")
    work("plan")
    assert shop.report(campaign)["audience"] == 25
    shop.work_until(lambda: shop.state(campaign) == "sent")
    assert push.shown() == dict.fromkeys(names, 1)


def test_cancelled_before_the_audience_was_known(
    shop: Shop, push: ScriptedPush, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "AT_ONCE", 2)  # so that ending a page takes several batches
    shop.crowd(12)
    campaign = shop.start()
    plan_one_page(shop, monkeypatch)
    told = shop.do(campaign, "cancel")["deliveries"]
    assert told == {"sent": 0, "in_flight": 0, "stopped": plan.CHUNKS_A_PAGE, "planned": False}
    work()
    tick(shop.db)
    later(60)
    tick(shop.db)
    work()
    assert shop.report(campaign)["reasons"] == {"cancelled": plan.CHUNKS_A_PAGE}
    assert push.asked == {}


def test_retries_wait_while_paused_and_end_when_cancelled(shop: Shop, push: ScriptedPush) -> None:
    shop.customer("ada", "ada")
    push.script["ada"].extend([Answer(503)] * 2)
    campaign = shop.start()
    work()
    assert shop.states(campaign) == {"retry": 1}
    shop.do(campaign, "pause")
    later(60)
    tick(shop.db)
    work()
    assert (push.asked["ada"], shop.states(campaign)) == (1, {"retry": 1})
    shop.do(campaign, "resume")
    tick(shop.db)
    work()
    assert (push.asked["ada"], shop.states(campaign)) == (2, {"retry": 1})
    shop.do(campaign, "cancel")
    tick(shop.db)
    assert shop.report(campaign)["reasons"] == {"cancelled": 1}


def test_what_outlives_its_ttl_expires_while_paused(shop: Shop, push: ScriptedPush) -> None:
    shop.crowd(2)
    campaign = shop.start(ttl=600)
    work("plan")
    shop.do(campaign, "pause")
    later(500)
    tick(shop.db)
    assert shop.states(campaign) == {"queued": 2}
    later(101)
    tick(shop.db)
    assert shop.report(campaign)["reasons"] == {"too_late": 2}
    assert shop.state(campaign) == "sent"
    assert push.asked == {}


def test_tests_go_out_whatever_the_campaign_is_at(shop: Shop, push: ScriptedPush) -> None:
    shop.customer("ada", "ada")
    campaign = shop.start()
    shop.do(campaign, "pause")
    assert shop.api.post(f"/v1/campaigns/{campaign}/test", json={"customer": "ada"}).status_code == 202
    work()
    assert push.shown() == {"ada": 1}


def test_a_pause_holds_up_a_start_until_it_is_resumed(shop: Shop, push: ScriptedPush) -> None:
    shop.customer("ada", "ada")
    campaign = shop.draft(schedule={"at": soon(600)}, ttl=600)
    shop.do(campaign, "schedule")
    shop.do(campaign, "pause")
    later(3600)
    tick(shop.db)
    assert shop.state(campaign) == "paused"
    shop.do(campaign, "resume")  # which makes up for it, and then its life begins
    shop.work_until(lambda: shop.state(campaign) == "sent")
    assert push.shown() == {"ada": 1}


def test_a_recurring_one_lets_pass_what_it_missed_while_paused(shop: Shop) -> None:
    campaign = shop.draft(schedule={"at": soon(60), "rrule": "FREQ=DAILY"})
    first = shop.do(campaign, "schedule")["next_at"]
    shop.do(campaign, "pause")
    later(30 * 3600)
    resumed = shop.do(campaign, "resume")
    assert resumed["state"] == "scheduled"
    assert first < clock.rfc3339(clock.now()) < resumed["next_at"]


def test_asking_for_what_is_so_changes_nothing(shop: Shop) -> None:
    campaign = shop.start()
    paused = shop.do(campaign, "pause")
    later(5)
    assert shop.do(campaign, "pause") == paused
    resumed = shop.do(campaign, "resume")
    assert shop.do(campaign, "resume") == resumed
    cancelled = shop.do(campaign, "cancel")
    assert shop.do(campaign, "cancel") == cancelled


def test_each_state_refuses_what_it_cannot_do(shop: Shop) -> None:
    draft, sent, cancelled = shop.draft(), shop.send(), shop.start()
    shop.do(cancelled, "cancel")
    for campaign, code in ((draft, "not_started"), (cancelled, "cancelled"), (sent, "already_sent")):
        for action in ("pause", "resume", "cancel"):
            if (campaign, action) != (cancelled, "cancel"):
                assert shop.refused(campaign, action) == (409, code)
    for campaign, code in ((cancelled, "cancelled"), (sent, "already_sent")):
        for action in ("send", "schedule"):
            assert shop.refused(campaign, action, None) == (409, code)
        assert shop.api.patch(f"/v1/campaigns/{campaign}", json={"name": "N"}).json()["code"] == code
    running = shop.start()
    assert shop.api.patch(f"/v1/campaigns/{running}", json={"name": "N"}).json()["code"] == "sending"
    shop.do(running, "pause")
    assert shop.refused(running, "send") == (409, "paused")
    for campaign in (running, cancelled, sent):
        assert shop.api.delete(f"/v1/campaigns/{campaign}").json()["code"] == "not_a_draft"


def test_a_draft_is_changed_field_by_field(shop: Shop) -> None:
    campaign = shop.draft(ttl=600, priority=5, schedule={"at": soon()})
    changes = {"name": "Other", "ttl": None, "priority": None, "urgency": "high", "schedule": None}
    answer = shop.api.patch(f"/v1/campaigns/{campaign}", json=changes)
    found = answer.json()
    assert (found["name"], found["ttl"], found["priority"], found["schedule"]) == ("Other", 86400, None, None)
    assert found["urgency"] == "high"
    assert found["variants"] == [{"weight": 1, "notification": NOTIFICATION}]
    assert shop.api.get(f"/v1/campaigns/{campaign}").json() == found
    assert patched(shop, campaign, ttl="60", colour="red") == (422, ["$.ttl", "$.colour"])
    assert patched(shop, campaign, name=None) == (422, ["$.name"])
    assert patched(shop, campaign, audience={"include": ["nope"]}) == (422, ["$.audience.include[0]"])
    assert patched(shop, campaign, schedule={"at": "2020-01-01T00:00:00Z"}) == (422, ["$.schedule.at"])
    data = {**NOTIFICATION, "data": {"homing": 1}}
    assert patched(shop, campaign, variants=[{"notification": data}]) == (
        422,
        ["$.variants[0].notification.data.homing"],
    )
    assert shop.api.get(f"/v1/campaigns/{campaign}").json() == found


def test_a_scheduled_one_moves_with_its_schedule_and_needs_one(shop: Shop) -> None:
    campaign = shop.draft(schedule={"at": soon()})
    first = shop.do(campaign, "schedule")
    assert patched(shop, campaign, name="Same time", schedule=first["schedule"])[0] == 200
    assert patched(shop, campaign, schedule={"at": soon(7200)})[0] == 200
    found = shop.api.get(f"/v1/campaigns/{campaign}").json()
    assert found["next_at"] == found["schedule"]["at"] > first["next_at"]
    assert patched(shop, campaign, schedule=None) == (422, ["$.schedule"])
    assert patched(shop, campaign, schedule={"rrule": "FREQ=DAILY"}) == (422, ["$.schedule.rrule"])
    late = first["schedule"]["at"]
    later(4000)
    assert patched(shop, campaign, schedule={"at": late}) == (422, ["$.schedule.at"])


def test_what_deliveries_were_made_of_stays(shop: Shop, db: Database) -> None:
    shop.crowd(2)
    two = [{"notification": NOTIFICATION}, {"notification": NOTIFICATION}]
    campaign = shop.start(variants=two)
    work("plan")
    shop.do(campaign, "pause")
    for changes, path in (
        ({"audience": {"include": [shop.segment], "exclude": [shop.segment]}}, "$.audience"),
        ({"holdout_percent": 5}, "$.holdout_percent"),
        ({"schedule": {"at": soon()}}, "$.schedule"),
        ({"variants": two[:1]}, "$.variants"),
        ({"variants": [{**two[0], "weight": 2}, two[1]]}, "$.variants"),
    ):
        answer = shop.api.patch(f"/v1/campaigns/{campaign}", json=changes)
        assert (answer.status_code, answer.json()["code"]) == (409, "already_planned")
        assert [fault["path"] for fault in answer.json()["errors"]] == [path]
    assert patched(shop, campaign, ttl=60)[0] == 200
    with db.session() as session:
        life = session.sql(text("select expires_at - created_at from dispatch")).scalar_one()
    assert life == timedelta(seconds=60)


def test_between_two_occurrences_all_but_the_number_of_variants_may_change(shop: Shop, db: Database) -> None:
    campaign = shop.draft(schedule={"at": soon(60), "rrule": "FREQ=DAILY"})
    shop.do(campaign, "schedule")
    later(61)
    tick(db)
    work()
    tick(db)
    assert shop.state(campaign) == "scheduled"
    assert patched(shop, campaign, holdout_percent=5, ttl=60)[0] == 200
    assert patched(shop, campaign, variants=[{"notification": NOTIFICATION}] * 2) == (409, ["$.variants"])


def test_a_draft_is_deleted_with_its_tests_unless_a_segment_asks_for_it(shop: Shop, push: ScriptedPush) -> None:
    shop.customer("ada", "ada")
    campaign = shop.draft()
    shop.api.post(f"/v1/campaigns/{campaign}/test", json={"customer": "ada"})
    where = {"message": {"campaign": campaign.upper(), "outcome": "clicked"}}
    rule = {"name": "Clicked", "rule": {"version": 1, "where": where}}
    segment = shop.api.post("/v1/segments", json=rule)
    assert segment.status_code == 201, segment.text
    answer = shop.api.delete(f"/v1/campaigns/{campaign}")
    assert (answer.status_code, answer.json()["code"]) == (409, "campaign_in_use")
    assert "“Clicked”" in answer.json()["detail"]
    assert shop.api.delete(f"/v1/segments/{segment.json()['id']}").status_code == 204
    assert shop.api.delete(f"/v1/campaigns/{campaign}").status_code == 204
    assert shop.api.get(f"/v1/campaigns/{campaign}").status_code == 404
    work()
    assert push.asked == {}


def test_redis_lost_while_paused(shop: Shop, push: ScriptedPush) -> None:
    names = shop.crowd(3)
    campaign = shop.start()
    shop.do(campaign, "pause")
    lose_redis()
    shop.do(campaign, "resume")
    shop.work_until(lambda: shop.state(campaign) == "sent")
    assert push.shown() == dict.fromkeys(names, 1)
