"""Receipts: told by signed token, once each, for the right site only, and what they make of the report."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from httpx import Response
from starlette.testclient import TestClient

from push_server import clock
from push_server.app import create_app
from push_server.customers.identity import resolve_customer
from push_server.db import Database
from push_server.delivery import token
from push_server.sites.service import create_site
from tests.doubles.scripted_push import ScriptedPush
from tests.integration.sending import Shop, later, push_service

ORIGIN = "https://shop.example"


@pytest.fixture
def push(db: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedPush]:
    yield from push_service(monkeypatch)


@pytest.fixture
def shop(db: Database, push: ScriptedPush) -> Shop:
    return Shop.create(db, push)


@pytest.fixture
def browser(shop: Shop) -> TestClient:
    return TestClient(create_app(), headers={"Origin": ORIGIN})


def tell(browser: TestClient, *receipts: dict[str, Any], **more: Any) -> Response:
    return browser.post("/v1/receipts", json={"receipts": list(receipts), **more})


def fact(delivery: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"delivery": delivery, "kind": kind, "at": clock.rfc3339(clock.now()), **more}


def sent(shop: Shop, push: ScriptedPush) -> tuple[str, str]:
    """A campaign that has arrived: its id, and the token in the message."""
    shop.customer("ada", "ada")
    campaign = shop.send()
    return campaign, push.arrived[0].notification["data"]["homing"]["delivery"]


def test_a_fact_counts_once_however_often_it_is_told(shop: Shop, push: ScriptedPush, browser: TestClient) -> None:
    campaign, delivery = sent(shop, push)
    for _ in range(3):
        answer = tell(browser, fact(delivery, "shown"), fact(delivery, "shown"), fact(delivery, "clicked"))
        assert (answer.status_code, answer.json()) == (200, {"accepted": 3})
        assert answer.headers["access-control-allow-origin"] == ORIGIN
    tell(browser, fact(delivery, "clicked", action="buy"))
    assert shop.report(campaign)["outcomes"] == {"shown": 1, "clicked": 1, "closed": 0, "converted": 0}
    assert shop.report(campaign)["variants"][0]["outcomes"]["clicked"] == 1


def test_text_plain_with_the_key_in_the_body_is_taken(shop: Shop, push: ScriptedPush, browser: TestClient) -> None:
    campaign, delivery = sent(shop, push)
    body = json.dumps({"writeKey": shop.site.public_key, "receipts": [fact(delivery, "closed")]})
    answer = browser.post("/v1/receipts", content=body, headers={"Content-Type": "text/plain;charset=UTF-8"})
    assert answer.status_code == 200, answer.text
    assert shop.report(campaign)["outcomes"]["closed"] == 1


def test_the_clock_of_a_browser_is_not_trusted(shop: Shop, push: ScriptedPush, browser: TestClient) -> None:
    _, delivery = sent(shop, push)
    early, late = {"at": "1999-01-01T00:00:00Z"}, {"at": "2999-01-01T00:00:00+02:00"}
    tell(browser, fact(delivery, "shown") | early, fact(delivery, "clicked") | late)
    with shop.db.session() as session:
        [created] = session.raw.execute("select created_at from dispatch").fetchone() or []
        at = dict(session.raw.execute("select kind, at from receipt").fetchall())
    assert at["shown"] == created
    assert created < at["clicked"] <= clock.now()


def test_another_sites_token_is_refused(shop: Shop, push: ScriptedPush, browser: TestClient, db: Database) -> None:
    campaign, delivery = sent(shop, push)
    with db.session() as session:
        other = create_site(session, "Other", ["https://other.example"])
        foreign = token.issue(1, session.site_id)
    mixed = tell(browser, fact(delivery, "shown"), fact(foreign, "shown"))
    assert mixed.status_code == 422
    assert [(fault["path"], fault["code"]) for fault in mixed.json()["errors"]] == [
        ("$.receipts[1].delivery", "other_site")
    ]
    keyed = tell(browser, fact(delivery, "shown"), writeKey=other.public_key)
    assert keyed.status_code == 403
    elsewhere = browser.post(
        "/v1/receipts", json={"receipts": [fact(delivery, "shown")]}, headers={"Origin": "https://other.example"}
    )
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (403, "origin_not_allowed")
    assert tell(browser, fact(foreign, "shown")).status_code == 403
    assert shop.report(campaign)["outcomes"]["shown"] == 0


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"receipts": [{"delivery": "x", "kind": "shown", "at": "2026-01-01T00:00:00Z"}]}, "$.receipts[0].delivery"),
        ({"receipts": [{"delivery": "é\ud800", "kind": "shown", "at": "2026-01-01T00:00:00Z"}]}, "$.receipts[0]"),
        ({"receipts": [{"delivery": "A" * 43, "kind": "shown", "at": "2026-01-01T00:00:00Z"}]}, "$.receipts[0]"),
        ({"receipts": [{"delivery": "A" * 43, "kind": "seen", "at": "2026-01-01T00:00:00Z"}]}, "$.receipts[0].kind"),
        ({"receipts": [{"delivery": "A" * 43, "kind": "shown", "at": "yesterday"}]}, "$.receipts[0].at"),
        ({"receipts": [{"delivery": "A" * 43, "kind": "shown", "at": "2026-01-01T00:00:00"}]}, "$.receipts[0].at"),
        ({"receipts": [{"delivery": "A" * 43, "kind": "shown", "at": 1e300}]}, "$.receipts[0].at"),
        ({"receipts": [{"delivery": "A" * 43, "kind": "shown"}]}, "$.receipts[0].at"),
        ({"receipts": [{"delivery": "A", "kind": "clicked", "action": "\0", "at": "2026-01-01T00:00:00Z"}]}, "$."),
        ({"receipts": []}, "$.receipts"),
        ({"receipts": [{}] * 101}, "$.receipts"),
        ({"receipts": "shown"}, "$.receipts"),
        ({}, "$.receipts"),
        ([], "$"),
    ],
)
def test_a_bad_receipt_is_refused_with_its_path(browser: TestClient, body: Any, path: str) -> None:
    answer = browser.post("/v1/receipts", content=json.dumps(body))
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"][0]["path"].startswith(path)


def test_an_erased_delivery_is_passed_over(shop: Shop, push: ScriptedPush, browser: TestClient) -> None:
    _, delivery = sent(shop, push)
    with shop.db.session() as session:
        session.raw.execute("delete from delivery")
    assert tell(browser, fact(delivery, "shown")).status_code == 200


def test_an_order_within_three_days_of_the_click_is_a_conversion(
    shop: Shop, push: ScriptedPush, browser: TestClient
) -> None:
    for name in ("ada", "bob", "eve"):
        shop.customer(name, name)
    campaign = shop.send()
    tokens = {one.token: one.notification["data"]["homing"]["delivery"] for one in push.arrived}
    buy(shop, "bob", "before")  # an order before the click is none of the click's
    later(1)
    tell(browser, *(fact(delivery, "clicked") for delivery in tokens.values()))
    later(1)
    buy(shop, "ada", "soon")
    later(73 * 3600)
    buy(shop, "eve", "late")
    assert shop.report(campaign)["outcomes"] == {"shown": 0, "clicked": 3, "closed": 0, "converted": 1}


def buy(shop: Shop, external_id: str, order_id: str) -> None:
    """An order, as ingest derives it."""
    with shop.db.session(site_id=shop.site_id) as session:
        customer = resolve_customer(session.raw, shop.site_id, external_id, None)
        now = clock.now()
        [order] = session.raw.execute(
            "insert into orders (site_id, customer_id, order_id, ts, value, lines, seq)"
            " values (%s, %s, %s, %s, 1000000, '[]', 1) returning id",
            [shop.site_id, customer, order_id, now],
        ).fetchone() or [0]
        session.raw.execute(
            "insert into order_value (order_ref, site_id, customer_id, ts, since, value, seq)"
            " values (%s, %s, %s, %s, %s, 1000000, 1)",
            [order, shop.site_id, customer, now, now],
        )
