"""Rotation of VAPID keys: who is reached by which, how far it is, and what the end of a key costs."""

import json
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from push_server.cli.sites import app
from push_server.db import Database
from push_server.subscriptions import service as subscriptions
from push_server.subscriptions.shapes import PushSubscription
from tests.doubles.scripted_push import ScriptedPush
from tests.integration.sending import Shop, push_service, tick, work


@pytest.fixture
def push(db: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedPush]:
    yield from push_service(monkeypatch)


@pytest.fixture
def shop(db: Database, push: ScriptedPush) -> Shop:
    return Shop.create(db, push)


def rotate(shop: Shop) -> str:
    """A new active key; the former one."""
    former = shop.site.vapid_public_key
    made = shop.api.post("/v1/site/vapid-keys")
    assert made.status_code == 201, made.text
    object.__setattr__(shop.site, "vapid_public_key", made.json()["public_key"])  # new browsers subscribe with it
    return former


def counts(shop: Shop) -> list[int]:
    """Active subscriptions by key, newest key first."""
    return [key["subscriptions"] for key in shop.api.get("/v1/site/vapid-keys").json()["data"]]


def move(shop: Shop, name: str, token: str, former: str) -> None:
    """The customer's browser `former` subscribes anew, as `token`."""
    key = shop.site.vapid_public_key
    browser = shop.push.browser(token, key)
    given = PushSubscription.model_validate(browser.subscription(shop.push.origin))
    with shop.db.session(site_id=shop.site_id) as session:
        subscriptions.subscribe(
            session,
            subscriptions.OptIn(
                endpoint=given.endpoint,
                p256dh=given.keys.p256dh,
                auth=given.keys.auth,
                external_id=name,
                previous_endpoint=f"{shop.push.origin}/push/{former}",
            ),
        )


def test_old_and_new_subscriptions_are_reached_each_by_its_own_key(shop: Shop, push: ScriptedPush) -> None:
    shop.customer("ada", "ada")
    shop.customer("bob", "bob-old")
    former = rotate(shop)
    shop.customer("cia", "cia")
    assert counts(shop) == [1, 2]
    move(shop, "bob", "bob-new", "bob-old")
    assert counts(shop) == [2, 1]
    campaign = shop.send()
    assert push.refused == []  # it takes no message that is not signed with the key its browser subscribed with
    assert push.shown() == {"ada": 1, "bob-new": 1, "cia": 1}
    assert shop.states(campaign) == {"accepted": 3}
    signed = {one.token: one.headers["authorization"].rpartition("k=")[2] for one in push.arrived}
    new = shop.site.vapid_public_key
    assert signed == {"ada": former, "bob-new": new, "cia": new}


def test_what_waits_for_a_browser_follows_it_to_its_new_subscription(shop: Shop, push: ScriptedPush) -> None:
    shop.customer("ada", "ada-old")
    shop.customer("bob", "bob")
    campaign = shop.start()
    work("plan")
    rotate(shop)
    move(shop, "ada", "ada-new", "ada-old")
    work("send")
    tick(shop.db)
    assert push.shown() == {"ada-new": 1, "bob": 1}
    assert shop.states(campaign) == {"accepted": 2}


def test_a_key_retires_once_nobody_needs_it(shop: Shop, push: ScriptedPush) -> None:
    shop.customer("ada", "ada-old")
    former = rotate(shop)
    path = f"/v1/site/vapid-keys/{former}"
    assert shop.api.delete(f"/v1/site/vapid-keys/{shop.site.vapid_public_key}").json()["code"] == "vapid_key_active"
    refused = shop.api.delete(path)
    assert (refused.status_code, refused.json()["code"]) == (409, "vapid_key_in_use")
    assert "lose_subscriptions=1" in refused.json()["detail"]
    move(shop, "ada", "ada-new", "ada-old")
    assert shop.api.delete(path).json() == {"lost_subscriptions": 0}
    assert shop.api.delete(path).json() == {"lost_subscriptions": 0}
    retired = shop.api.get("/v1/site/vapid-keys").json()["data"][1]
    assert retired["public_key"] == former
    assert retired["retired_at"] is not None
    with shop.db.session() as session:
        rows = session.raw.execute("select private_key from vapid_key where retired_at is not null").fetchall()
    assert rows == [(None,)]
    assert shop.states(shop.send()) == {"accepted": 1}
    assert push.shown() == {"ada-new": 1}


def test_losing_subscriptions_to_a_key_is_named_in_the_report(shop: Shop, push: ScriptedPush) -> None:
    shop.crowd(2)
    campaign = shop.start()
    work("plan")
    former = rotate(shop)
    path = f"/v1/site/vapid-keys/{former}?lose_subscriptions="
    assert shop.api.delete(path + "1").json()["code"] == "vapid_key_in_use"
    assert counts(shop) == [0, 2]
    assert shop.api.delete(path + "2").json() == {"lost_subscriptions": 2}
    work("send")
    assert push.asked == {}
    assert shop.report(campaign)["reasons"] == {"gone": 2}


def test_a_subscription_made_with_a_retired_key_is_refused(shop: Shop) -> None:
    shop.customer("ada", "ada")
    former = rotate(shop)
    shop.api.delete(f"/v1/site/vapid-keys/{former}?lose_subscriptions=1")
    given = {"subscription": shop.push.browsers["ada"].subscription(shop.push.origin), "userId": "ada"}
    for said in ({}, {"applicationServerKey": former}):
        answer = shop.api.post(
            "/v1/subscriptions", json={**given, **said, "writeKey": shop.site.public_key}, headers={"Authorization": ""}
        )
        assert (answer.status_code, answer.json()["code"]) == (422, "unknown_application_server_key")
    assert counts(shop) == [0, 0]


def test_a_rotation_is_told_to_pages_within_a_minute(shop: Shop) -> None:
    def configuration(etag: str = "") -> tuple[int, str, str]:
        answer = shop.api.get(
            f"/v1/sdk/config?key={shop.site.public_key}", headers={"Authorization": "", "If-None-Match": etag}
        )
        assert answer.headers["cache-control"] == "public, max-age=60"
        key = answer.json()["vapid_public_key"] if answer.status_code == 200 else ""
        return answer.status_code, key, answer.headers["etag"]

    _, former, etag = configuration()
    assert configuration(etag)[0] == 304
    assert rotate(shop) == former
    assert configuration(etag)[:2] == (200, shop.site.vapid_public_key)


def test_the_ring_by_command(shop: Shop) -> None:
    shop.customer("ada", "ada")
    former = shop.site.vapid_public_key

    def call(*arguments: str) -> str:
        done = CliRunner().invoke(app, ["vapid-key", *arguments, "--site", shop.site.site_id])
        assert done.exit_code == 0, done.output
        return done.output

    new = json.loads(call("rotate", "--json"))["vapid_public_key"]
    assert [line.split()[:3] for line in call("list").splitlines()] == [[new, "active", "0"], [former, "former", "1"]]
    assert json.loads(call("retire", former, "--lose", "1", "--json")) == {"lost_subscriptions": "1"}
    assert [key["retired_at"] is None for key in json.loads(call("list", "--json"))] == [True, False]
