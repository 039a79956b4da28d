"""Preferences: topics and peace, chosen by the browser itself, and kept by sending."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import select
from starlette.testclient import TestClient

from push_server import clock
from push_server.app import create_app
from push_server.db import Database
from push_server.sites.service import NewSite, create_site
from push_server.subscriptions.models import Subscription
from tests.doubles.scripted_push import ScriptedPush
from tests.integration.sending import Shop, later, push_service
from tests.integration.test_subscriptions import FIREFOX, browser_of, opt_in

ORIGIN = "https://shop.example"


@pytest.fixture
def push(db: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedPush]:
    yield from push_service(monkeypatch)


@pytest.fixture
def site(db: Database) -> NewSite:
    with db.session() as session:
        return create_site(session, "Shop", [ORIGIN])


@pytest.fixture
def api(site: NewSite) -> TestClient:
    return browser_of(site)


def put(api: TestClient, endpoint: str, status: int = 200, **more: Any) -> dict[str, Any]:
    answer = api.put("/v1/preferences", json={"endpoint": endpoint, **more})
    assert answer.status_code == status, answer.text
    told: dict[str, Any] = answer.json()
    return told


def get(api: TestClient, endpoint: str, status: int = 200, **more: str) -> dict[str, Any]:
    answer = api.get("/v1/preferences", params={"endpoint": endpoint, **more})
    assert answer.status_code == status, answer.text
    told: dict[str, Any] = answer.json()
    return told


def test_what_is_left_out_stays(api: TestClient) -> None:
    endpoint, tomorrow = FIREFOX + "a", clock.rfc3339(clock.now() + timedelta(days=1))
    opt_in(api, endpoint, topics=["sales"])
    assert get(api, endpoint) == {"topics": ["sales"], "snoozeUntil": None}
    assert put(api, endpoint, snoozeUntil=tomorrow) == {"topics": ["sales"], "snoozeUntil": tomorrow}
    assert put(api, endpoint, topics=["news", "news", "food"])["topics"] == ["news", "food"]
    assert put(api, endpoint) == get(api, endpoint) == {"topics": ["news", "food"], "snoozeUntil": tomorrow}
    assert put(api, endpoint, topics=[], snoozeUntil=None) == {"topics": [], "snoozeUntil": None}
    put(api, endpoint, snoozeUntil=tomorrow)
    later(25 * 3600)
    assert get(api, endpoint)["snoozeUntil"] is None


def test_a_snooze_outlives_reloads_and_renewals_but_not_the_subscription(api: TestClient) -> None:
    old, new, tomorrow = FIREFOX + "old", FIREFOX + "new", clock.rfc3339(clock.now() + timedelta(days=1))
    opt_in(api, old)
    put(api, old, snoozeUntil=tomorrow)
    opt_in(api, old, 200)
    opt_in(api, new, previousEndpoint=old)
    assert get(api, new)["snoozeUntil"] == tomorrow
    assert get(api, old, 404)["code"] == "no_such_subscription"
    api.request("DELETE", "/v1/subscriptions", json={"endpoint": new})
    assert put(api, new, 404, topics=["sales"])["code"] == "no_such_subscription"
    opt_in(api, new, 200)
    assert get(api, new) == {"topics": [], "snoozeUntil": None}


def test_pages_of_the_site_alone_may_choose(api: TestClient, site: NewSite, db: Database) -> None:
    endpoint = FIREFOX + "a"
    opt_in(api, endpoint, topics=["sales"])
    with db.session() as session:
        other = create_site(session, "Other", ["https://other.example"])
    assert put(browser_of(other), endpoint, 404, topics=[])["code"] == "no_such_subscription"
    page = TestClient(create_app(), headers={"Origin": ORIGIN})
    assert get(page, endpoint, key=site.public_key)["topics"] == ["sales"]
    assert get(page, endpoint, 401)["code"] == "no_key"
    asked = {"Access-Control-Request-Method": "PUT"}
    allowed = page.options("/v1/preferences", headers=asked)
    assert (allowed.status_code, allowed.headers["access-control-allow-methods"]) == (204, "GET, PUT")
    answer = page.put("/v1/preferences", json={"endpoint": endpoint, "topics": [], "writeKey": site.public_key})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, ORIGIN)
    stranger = TestClient(create_app(), headers={"Origin": "https://other.example"})
    assert get(stranger, endpoint, 403, key=site.public_key)["code"] == "origin_not_allowed"


def test_who_snoozes_is_left_in_peace_until_the_very_instant(db: Database, push: ScriptedPush) -> None:
    shop = Shop.create(db, push)
    ada = shop.customer("ada", "ada")
    shop.customer("bob", "bob")
    with db.session(site_id=shop.site_id) as session:
        endpoint = session.exec(select(Subscription.endpoint).where(Subscription.customer_id == ada)).one()
    start = clock.now()
    put(browser_of(shop.site), endpoint, snoozeUntil=clock.rfc3339(start + timedelta(hours=1)))
    first = shop.report(shop.send())
    assert (first["states"]["accepted"], first["states"]["suppressed"]) == (1, 1)
    assert first["reasons"] == {"quiet_hours": 1}
    assert [one.token for one in push.arrived] == ["bob"]
    frozen = start + timedelta(hours=1)
    clock.set_source(lambda: frozen)
    assert shop.report(shop.send())["states"]["accepted"] == 2
