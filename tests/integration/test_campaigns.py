"""`/v1/campaigns`: what is refused and where, previews, tests, sending once, and whose campaigns one sees."""

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from push_server.app import create_app
from push_server.db import Database
from push_server.sites.service import create_site
from tests.doubles.scripted_push import ScriptedPush
from tests.integration.sending import NOTIFICATION, Shop, push_service, work

HERE = "$.variants[0].notification"


@pytest.fixture
def push(db: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedPush]:
    yield from push_service(monkeypatch)


@pytest.fixture
def shop(db: Database, push: ScriptedPush) -> Shop:
    return Shop.create(db, push)


def notified(**fields: Any) -> dict[str, Any]:
    return {"variants": [{"notification": {**NOTIFICATION, **fields}}]}


def test_a_draft_shows_its_defaults(shop: Shop) -> None:
    campaign = shop.draft(guards={"in_stock": ["p1"]}, topic="sale", priority=5)
    found = shop.api.get(f"/v1/campaigns/{campaign}").json()
    assert found["state"] == "draft"
    assert found["sent_at"] is None
    assert (found["ttl"], found["urgency"], found["quiet_hours"], found["cap"]) == (86400, "normal", "defer", "respect")
    assert found["variants"] == [{"weight": 1, "notification": NOTIFICATION}]
    assert found["audience"] == {"include": [shop.segment], "exclude": []}
    assert shop.report(campaign)["audience"] == 0


@pytest.mark.parametrize(
    ("change", "path", "code"),
    [
        ({"name": " "}, "$.name", "blank"),
        ({"name": "a\0"}, "$.name", "unstorable_value"),
        ({"audience": {"include": []}}, "$.audience.include", "too_short"),
        ({"audience": {"include": ["nope"]}}, "$.audience.include[0]", "unknown_segment"),
        ({"variants": []}, "$.variants", "too_short"),
        ({"variants": [{"weight": 0, "notification": NOTIFICATION}]}, "$.variants[0].weight", "greater_than"),
        ({"variants": [{"weight": True, "notification": NOTIFICATION}]}, "$.variants[0].weight", "number_type"),
        ({"variants": [{"weight": "1", "notification": NOTIFICATION}]}, "$.variants[0].weight", "number_type"),
        ({"variants": [{"notification": {"title": "T"}}]}, f"{HERE}.url", "missing"),
        (notified(title=""), f"{HERE}.title", "blank"),
        (notified(title="{{ customer.name"), f"{HERE}.title", "template_syntax"),
        (notified(title="{{ 'a' | shout }}"), f"{HERE}.title", "template_syntax"),
        (notified(body="{% for i in (1..99999999999) %}x{% endfor %}"), f"{HERE}.body", "template_syntax"),
        (notified(url="/sale"), f"{HERE}.url", "url"),
        (notified(url="javascript:alert(1)"), f"{HERE}.url", "url"),
        (notified(icon="data:image/png;base64,AA=="), f"{HERE}.icon", "url"),
        (notified(vibrate=[1]), f"{HERE}.vibrate", "extra_forbidden"),
        (notified(silent="yes"), f"{HERE}.silent", "bool_type"),
        (notified(actions=[{"action": "a", "title": "A"}]), f"{HERE}.actions[0].url", "missing"),
        (
            notified(actions=[{"action": "a", "title": "A", "url": "https://a.example/"}] * 2),
            f"{HERE}.actions[1].action",
            "duplicate",
        ),
        (notified(data={"homing": 1}), f"{HERE}.data.homing", "reserved"),
        (notified(data={"a": {"b": ["{{"]}}), f"{HERE}.data.a.b[0]", "template_syntax"),
        (notified(data={"a": "x" * 4000}), f"{HERE}.data", "too_large"),
        ({"holdout_percent": 101}, "$.holdout_percent", "less_than_equal"),
        ({"ttl": -1}, "$.ttl", "greater_than_equal"),
        ({"ttl": 2419201}, "$.ttl", "less_than_equal"),
        ({"ttl": "60"}, "$.ttl", "int_type"),
        ({"urgency": "urgent"}, "$.urgency", "literal_error"),
        ({"topic": "a b"}, "$.topic", "string_pattern_mismatch"),
        ({"topic": "a" * 33}, "$.topic", "string_pattern_mismatch"),
        ({"topic": "abc\n"}, "$.topic", "string_pattern_mismatch"),
        ({"schedule": {"local_time": "24:00"}}, "$.schedule.local_time", "string_pattern_mismatch"),
        ({"schedule": {"at": "2020-01-01T00:00:00Z"}}, "$.schedule.at", "in_past"),
        ({"throttle_per_minute": 0}, "$.throttle_per_minute", "greater_than_equal"),
        ({"guards": {"lowest_price_30d": True}}, "$.guards.lowest_price_30d", "no_products"),
        ({"guards": {"lowest_price_30d": True, "in_stock": []}}, "$.guards.lowest_price_30d", "no_products"),
        ({"guards": {"lowest_price_30d": 1}}, "$.guards.lowest_price_30d", "bool_type"),
        ({"quiet_hours": "sometimes"}, "$.quiet_hours", "literal_error"),
        ({"colour": "red"}, "$.colour", "extra_forbidden"),
    ],
)
def test_a_fault_is_named_with_its_path(shop: Shop, change: dict[str, Any], path: str, code: str) -> None:
    body = {"name": "N", "audience": {"include": [shop.segment]}, "variants": [{"notification": NOTIFICATION}]}
    answer = shop.api.post("/v1/campaigns", json={**body, **change})
    assert answer.status_code == 422, answer.text
    assert (path, code) in [(fault["path"], fault["code"]) for fault in answer.json()["errors"]]


def test_a_preview_renders_and_names_what_is_wrong(shop: Shop) -> None:
    shop.customer("ada", "ada", first_name="Ada")
    shop.customer("bob")
    campaign = shop.draft({"title": "Dear {{ customer.first_name }}", "url": "https://shop.example/{{ points.x }}"})
    answer = shop.api.post(f"/v1/campaigns/{campaign}/preview")
    assert answer.json()["audience"] == {"size": 2, "reachable": 1}
    by_customer = {one["customer"]: one for one in answer.json()["previews"]}
    assert {name: sorted(error["path"] for error in one["errors"]) for name, one in by_customer.items()} == {
        "ada": [f"{HERE}.url"],
        "bob": [f"{HERE}.title", f"{HERE}.url"],
    }
    good = shop.draft({"title": "Dear {{ customer.first_name }}", "url": "https://shop.example/"})
    [one] = shop.api.post(f"/v1/campaigns/{good}/preview", json={"customer": "ada"}).json()["previews"]
    assert one["notification"]["title"] == "Dear Ada"
    assert one["errors"] == []
    assert 100 < one["bytes"] < 500
    nobody = shop.api.post(f"/v1/campaigns/{good}/preview", json={"customer": "zoe"})
    assert (nobody.status_code, nobody.json()["errors"][0]["path"]) == (422, "$.customer")


def test_a_test_goes_to_one_customer_and_into_no_report(shop: Shop, push: ScriptedPush) -> None:
    shop.customer("ada", "ada")
    shop.customer("bob", "bob")
    shop.customer("eve")
    variants = [{"notification": {**NOTIFICATION, "title": title}} for title in ("A", "B")]
    campaign = shop.draft(variants=variants, holdout_percent=100)
    test = f"/v1/campaigns/{campaign}/test"
    for variant in (0, 1):
        answer = shop.api.post(test, json={"customer": "ada", "variant": variant})
        assert (answer.status_code, answer.json()) == (202, {"deliveries": 1})
    work()
    assert [(one.token, one.notification["title"]) for one in push.arrived] == [("ada", "A"), ("ada", "B")]
    assert shop.report(campaign)["audience"] == 0
    assert shop.deliveries(campaign) == []
    assert shop.state(campaign) == "draft"
    for body, code in (
        ({"customer": "zoe"}, "unknown_customer"),
        ({"customer": "eve"}, "no_subscription"),
        ({"customer": "ada", "variant": 2}, "unknown_variant"),
    ):
        refused = shop.api.post(test, json=body)
        assert (refused.status_code, refused.json()["code"]) == (422, code)


def test_a_campaign_is_sent_once(shop: Shop, push: ScriptedPush) -> None:
    shop.customer("ada", "ada")
    campaign = shop.draft()
    path, key = f"/v1/campaigns/{campaign}/send", {"Idempotency-Key": "k1"}
    first = shop.api.post(path, headers=key)
    assert (first.status_code, first.json()["state"]) == (202, "sending")
    assert shop.api.post(path, headers=key).json() == first.json()
    again = shop.api.post(path)
    assert (again.status_code, again.json()["code"]) == (409, "already_sent")
    shop.work_until(lambda: shop.state(campaign) == "sent")
    assert push.shown() == {"ada": 1}


def test_campaigns_of_another_site_do_not_exist(shop: Shop, db: Database) -> None:
    campaign = shop.draft()
    with db.session() as session:
        other = create_site(session, "Other", ["https://other.example"])
    stranger = TestClient(create_app(), headers={"Authorization": f"Bearer {other.secret_key}"})
    paths = ["", "/report", "/deliveries"]
    answers = [stranger.get(f"/v1/campaigns/{campaign}{path}") for path in paths]
    answers += [
        stranger.post(f"/v1/campaigns/{campaign}/{path}")
        for path in ("preview", "send", "schedule", "pause", "resume", "cancel")
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert stranger.get("/v1/campaigns").json()["data"] == []
    body = {"name": "N", "audience": {"include": [shop.segment]}, "variants": [{"notification": NOTIFICATION}]}
    assert stranger.post("/v1/campaigns", json=body).status_code == 422


def test_lists_are_paged(shop: Shop) -> None:
    made = [shop.draft() for _ in range(5)]
    seen: list[str] = []
    cursor = ""
    while True:
        page = shop.api.get(f"/v1/campaigns?limit=2{cursor}").json()
        seen += [one["id"] for one in page["data"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == made[::-1]
    assert shop.api.get("/v1/campaigns?cursor=%00").status_code == 400
    assert shop.api.get("/v1/campaigns?limit=0").status_code == 422


def test_deliveries_are_told_with_their_state(shop: Shop, push: ScriptedPush) -> None:
    shop.customer("ada", "ada")
    shop.customer("bob")
    campaign = shop.send()
    [ada] = shop.deliveries(campaign, "?state=accepted")
    assert (ada["customer"], ada["variant"], ada["attempts"], ada["status_code"]) == ("ada", 0, 1, 201)
    [bob] = shop.deliveries(campaign, "?state=suppressed")
    assert (bob["customer"], bob["subscription"], bob["reason"]) == ("bob", None, "no_subscription")
    assert shop.api.get(f"/v1/campaigns/{campaign}/deliveries?state=lost").status_code == 422
