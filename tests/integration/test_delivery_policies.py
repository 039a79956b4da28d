"""Whom a campaign goes to: one device or all, nobody whom the site holds out, nobody who has spent his points."""

from collections.abc import Iterator

import pytest

from push_server.db import Database
from tests.doubles.scripted_push import ScriptedPush
from tests.integration.sending import NOTIFICATION, Shop, later, push_service, work


@pytest.fixture
def push(db: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedPush]:
    yield from push_service(monkeypatch)


@pytest.fixture
def shop(db: Database, push: ScriptedPush) -> Shop:
    return Shop.create(db, push)


def hold_out(shop: Shop, percent: float | None) -> None:
    answer = shop.api.patch("/v1/site", json={"holdout_percent": percent})
    assert answer.status_code == 200, answer.text
    assert shop.api.get("/v1/site").json()["holdout_percent"] == percent


def held_out(shop: Shop, **more: object) -> set[str]:
    campaign = shop.send(**more)
    found = shop.deliveries(campaign, "?state=suppressed")
    assert {one["reason"] for one in found} <= {"holdout"}
    return {one["customer"] for one in found}


def test_the_latest_device_alone_gets_it(shop: Shop, push: ScriptedPush) -> None:
    shop.customer("ada", "ada-phone", "ada-laptop")
    shop.customer("bob")
    later(60)
    shop.customer("ada", "ada-phone")  # seen again
    campaign = shop.send(devices="latest")
    assert push.shown() == {"ada-phone": 1}
    assert shop.states(campaign) == {"accepted": 1, "suppressed": 1}
    assert shop.report(campaign)["reasons"] == {"no_subscription": 1}
    shop.send()
    assert push.shown() == {"ada-phone": 2, "ada-laptop": 1}


def test_a_test_goes_to_all_devices(shop: Shop, push: ScriptedPush) -> None:
    shop.customer("ada", "ada-phone", "ada-laptop")
    campaign = shop.draft(devices="latest")
    assert shop.api.post(f"/v1/campaigns/{campaign}/test", json={"customer": "ada"}).json() == {"deliveries": 2}
    work()
    assert push.shown() == {"ada-phone": 1, "ada-laptop": 1}


def test_a_site_holds_out_the_same_customers_from_each_campaign(shop: Shop, push: ScriptedPush) -> None:
    names = shop.crowd(40)
    hold_out(shop, 30)
    first = held_out(shop)
    assert 3 <= len(first) <= 24
    assert held_out(shop) == first
    assert set(push.shown()) == set(names) - first
    hold_out(shop, 15)
    assert held_out(shop) <= first, "a smaller share is a part of it"
    hold_out(shop, None)
    assert held_out(shop) == set()


def test_nobody_is_held_out_from_what_he_waits_for(shop: Shop, push: ScriptedPush) -> None:
    shop.crowd(10)
    hold_out(shop, 50)
    assert held_out(shop, message_class="transactional") == set()
    campaign = shop.draft()
    for name in push.shown():
        assert shop.api.post(f"/v1/campaigns/{campaign}/test", json={"customer": name}).status_code == 202
    work()
    assert push.shown() == {f"c{number}": 2 for number in range(10)}


@pytest.mark.parametrize("percent", [-1, 51, "10", True])
def test_a_share_that_cannot_be_is_refused(shop: Shop, percent: object) -> None:
    answer = shop.api.patch("/v1/site", json={"holdout_percent": percent})
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, "$.holdout_percent")


def test_points_that_are_spent_are_spoken_of_no_more(shop: Shop, push: ScriptedPush) -> None:
    for name in ("ada", "bob", "eve"):
        shop.customer(name, name)
    lots = [{"lot_id": name, "customer": name, "points": 100} for name in ("ada", "bob")]
    assert shop.api.post("/v1/loyalty/lots", json={"lots": lots}).status_code == 200
    campaign = shop.draft(NOTIFICATION, guards={"points_at_least": 100})
    preview = shop.api.post(f"/v1/campaigns/{campaign}/preview").json()["previews"]
    assert {one["customer"]: [error["path"] for error in one["errors"]] for one in preview} == {
        "ada": [],
        "bob": [],
        "eve": ["$.guards.points_at_least"],
    }
    assert shop.api.post(f"/v1/campaigns/{campaign}/send").status_code == 202
    work("plan")
    spent = [{"redemption_id": "r", "customer": "bob", "points": 1}]
    assert shop.api.post("/v1/loyalty/redemptions", json={"redemptions": spent}).status_code == 200
    shop.work_until(lambda: shop.state(campaign) == "sent")
    assert push.shown() == {"ada": 1}
    assert shop.report(campaign)["reasons"] == {"left_segment": 2}
