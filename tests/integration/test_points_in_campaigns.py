"""Campaigns about points: what texts can say of them, and that nobody is told of points he has spent."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from push_server import clock
from push_server.db import Database
from tests.doubles.scripted_push import Answer, ScriptedPush
from tests.integration.sending import Shop, later, push_service, tick, work

DAY = timedelta(days=1)
SOON = {"version": 1, "where": {"points": {"expiring": {"gte": 40}, "within": "7d"}}}


@pytest.fixture
def push(db: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedPush]:
    yield from push_service(monkeypatch)


@pytest.fixture
def shop(db: Database, push: ScriptedPush) -> Shop:
    return Shop.create(db, push)


def lot(customer: str, points: int, days: float | None, earned: float = -1) -> dict[str, Any]:
    now = clock.now()
    row = {"lot_id": f"{customer}-{points}", "customer": customer, "points": points}
    row |= {"earned_at": (now + earned * DAY).isoformat()}
    return row if days is None else row | {"expires_at": (now + days * DAY).isoformat()}


def earn(shop: Shop, *lots: dict[str, Any]) -> None:
    assert shop.api.post("/v1/loyalty/lots", json={"lots": list(lots)}).status_code == 200


def spend(shop: Shop, customer: str, points: int) -> None:
    row = {"redemption_id": f"spent by {customer}", "customer": customer, "points": points}
    assert shop.api.post("/v1/loyalty/redemptions", json={"redemptions": [row]}).status_code == 200


def audience(shop: Shop, rule: dict[str, Any]) -> dict[str, list[str]]:
    made = shop.api.post("/v1/segments", json={"name": "Soon", "rule": rule})
    assert made.status_code == 201, made.text
    return {"include": [made.json()["id"]]}


def test_a_text_shows_balance_and_what_expires_when(shop: Shop) -> None:
    clock.set_source(lambda: datetime(2026, 3, 1, 12, tzinfo=UTC))
    shop.api.patch("/v1/site", json={"time_zone": "Europe/Budapest"})
    shop.customer("ada", "ada")
    shop.customer("bob", "bob")
    earn(
        shop,
        lot("ada", 25, 2.44),
        lot("ada", 20, 2.1),
        lot("ada", 5, 2.47),  # past midnight where the shop is
        lot("ada", 7, 8),
        lot("ada", 63, None),
        lot("ada", 1000, 1, earned=0.5),
    )
    for text, ada, bob in (
        (
            "{{ points.balance }}, {{ points.expiring }} of them until {{ points.expires_at | date: '%-d %B' }}",
            "120, 45 of them until 3 March",
            None,
        ),
        ("{{ points.expires_at }}, {{ points.days_left }} days", "2026-03-03T15:24:00+01:00, 2 days", None),
        ("{{ points.expiring_in_7_days }} {{ points.expiring_in_30_days }}", "50 57", None),
        ("{{ points.balance }} {{ points.expiring | default: 'none' }}", "120 45", "0 none"),
        ("{{ points.blance }}", None, None),
        ("{{ points.tier }}", None, None),
    ):
        campaign = shop.draft({"title": text, "url": "https://shop.example/"})
        for customer, expected in (("ada", ada), ("bob", bob)):
            answer = shop.api.post(f"/v1/campaigns/{campaign}/preview", json={"customer": customer})
            [one] = answer.json()["previews"]
            assert (one["notification"] and one["notification"]["title"]) == expected, (text, one)
            assert [error["path"] for error in one["errors"]][:1] == (
                [] if expected else ["$.variants[0].notification.title"]
            )


def test_a_text_calls_points_and_tiers_as_the_programme_does(shop: Shop) -> None:
    for name in ("ada", "bob"):
        shop.customer(name, name)
    earn(shop, lot("ada", 1, None), lot("bob", 2, None))
    tier = {"userId": "bob", "event": "Loyalty Tier Changed", "properties": {"tier": "silver"}}
    assert shop.api.post("/v1/track", json=tier).status_code == 200
    text = "{{ points.balance }} {{ points.name }} ({{ points.singular }}, {{ points.plural }})"

    def shown(title: str) -> list[str | None]:
        campaign = shop.draft({"title": title, "url": "https://shop.example/"})
        answers = [
            shop.api.post(f"/v1/campaigns/{campaign}/preview", json={"customer": name}) for name in ("ada", "bob")
        ]
        made = [answer.json()["previews"][0]["notification"] for answer in answers]
        return [one and one["title"] for one in made]

    assert shown(text) == ["1 point (point, points)", "2 points (point, points)"]
    assert shown("{{ points.next_tier }}") == [None, None]
    named = {"points_name": {"singular": "paw", "plural": "paws"}, "tiers": ["bronze", "silver", "gold"]}
    assert shop.api.put("/v1/loyalty/program", json=named).status_code == 200
    assert shown(text) == ["1 paw (paw, paws)", "2 paws (paw, paws)"]
    assert shown("next: {{ points.next_tier }}") == ["next: bronze", "next: gold"]


def test_who_spends_his_points_before_his_message_is_made_gets_none(shop: Shop, push: ScriptedPush) -> None:
    for name in ("ada", "bob", "cyd", "dan"):
        shop.customer(name, name)
        earn(shop, lot(name, 50, 3), lot(name, 200, 60))
    text = {
        "title": "{{ points.expiring }} points expire",
        "body": "of {{ points.balance }}",
        "url": "https://shop.example/",
    }
    push.script["dan"].append(Answer(503))
    campaign = shop.start(text, audience=audience(shop, SOON))
    work("plan")
    assert shop.states(campaign) == {"queued": 4}
    spend(shop, "ada", 30)  # leaves the segment
    spend(shop, "bob", 5)  # stays
    later(2)
    work("send")
    assert shop.states(campaign) == {"accepted": 2, "suppressed": 1, "retry": 1}
    spend(shop, "dan", 50)  # leaves it before he is tried again
    later(5)
    tick(shop.db)
    work()
    assert {one.token: (one.notification["title"], one.notification["body"]) for one in push.arrived} == {
        "bob": ("45 points expire", "of 245"),
        "cyd": ("50 points expire", "of 250"),
    }
    assert shop.report(campaign)["reasons"] == {"left_segment": 2}


def test_a_text_about_points_is_right_to_the_instant(shop: Shop, push: ScriptedPush) -> None:
    """Members may be a second old; what a text says is not."""
    instant = clock.now()
    clock.set_source(lambda: instant)
    for name in ("ada", "bob"):
        shop.customer(name, name)
        earn(shop, lot(name, 50, 3))
    campaign = shop.start(
        {"title": "{{ points.expiring }} points expire", "url": "https://shop.example/"}, audience=audience(shop, SOON)
    )
    work("plan")
    spend(shop, "ada", 50)
    work("send")
    assert push.shown() == {"bob": 1}
    assert shop.states(campaign) == {"accepted": 1, "suppressed": 1}


def test_who_comes_into_an_excluded_segment_gets_none_and_a_test_goes_out_all_the_same(
    shop: Shop, push: ScriptedPush
) -> None:
    for name in ("ada", "bob"):
        shop.customer(name, name)
    rich = audience(shop, {"version": 1, "where": {"points": {"balance": {"gte": 100}}}})["include"]
    campaign = shop.start(audience={"include": [shop.segment], "exclude": rich})
    work("plan")
    earn(shop, lot("ada", 100, None))
    later(2)
    work("send")
    assert push.shown() == {"bob": 1}
    assert shop.report(campaign)["reasons"] == {"left_segment": 1}
    assert shop.api.post(f"/v1/campaigns/{campaign}/test", json={"customer": "ada"}).status_code == 202
    work()
    assert push.shown() == {"ada": 1, "bob": 1}


def test_of_a_deleted_segment_nobody_has_left(shop: Shop, push: ScriptedPush) -> None:
    shop.customer("ada", "ada")
    earn(shop, lot("ada", 50, 3))
    chosen = audience(shop, SOON)
    shop.start(audience=chosen)
    work("plan")
    assert shop.api.delete(f"/v1/segments/{chosen['include'][0]}").status_code == 204
    work("send")
    assert push.shown() == {"ada": 1}
