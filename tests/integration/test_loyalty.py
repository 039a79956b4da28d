"""Points and tiers: what draws from what, what is refused, and what events make of it."""

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from push_server import clock
from tests.integration.ingest import NOW, Shop, second_application, shop

__all__ = ["shop"]
DAY = timedelta(days=1)


def day(days: float) -> str:
    return (NOW + days * DAY).isoformat()


def post(shop: Shop, kind: str, *rows: dict[str, Any], client: TestClient | None = None) -> Any:
    headers = {"Authorization": f"Bearer {shop.secret_key}"}
    return (client or shop.client).post(f"/v1/loyalty/{kind}", json={kind: list(rows)}, headers=headers)


def lot(id: str, points: int, earned: float = -30, expires: float | None = None, customer: str = "u") -> dict[str, Any]:
    row = {"lot_id": id, "customer": customer, "points": points, "earned_at": day(earned)}
    return row if expires is None else row | {"expires_at": day(expires)}


def spend(id: str, points: int, at: float = 0, customer: str = "u") -> dict[str, Any]:
    return {"redemption_id": id, "customer": customer, "points": points, "at": day(at)}


def account(shop: Shop, customer: str = "u") -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {shop.secret_key}"}
    answer = shop.client.get(f"/v1/customers/{customer}/loyalty", headers=headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def left(shop: Shop, customer: str = "u") -> dict[str, int]:
    return {each["lot_id"]: each["remaining"] for each in account(shop, customer)["lots"]}


def refused(answer: Any, code: str, *paths: str) -> None:
    told = answer.json()
    assert (answer.status_code, told["code"]) == (409, code), answer.text
    assert [fault["path"] for fault in told["errors"]] == list(paths)


def test_what_expires_first_is_drawn_first_and_for_ever_last(shop: Shop) -> None:
    lots = [
        lot("ever", 100),
        lot("late", 50, expires=20),
        lot("b", 10, earned=-9, expires=5),
        lot("a", 10, earned=-9, expires=5),
        lot("old", 10, earned=-10, expires=5),
        lot("gone", 70, expires=-0.5),
        lot("coming", 70, earned=1, expires=2),
    ]
    assert post(shop, "lots", *lots).json() == {"created": 7, "unchanged": 0}
    assert post(shop, "redemptions", spend("r1", 15)).json() == {"created": 1, "unchanged": 0}
    assert left(shop) == {"ever": 100, "late": 50, "b": 10, "a": 5, "old": 0, "gone": 0, "coming": 0}
    post(shop, "redemptions", spend("r2", 70))
    assert left(shop) == {"ever": 95, "late": 0, "b": 0, "a": 0, "old": 0, "gone": 0, "coming": 0}
    found = account(shop)
    assert (found["balance"], found["tier"], found["next_expiry"]) == (95, None, None)
    assert [(each["redemption_id"], each["points"], each["state"]) for each in found["redemptions"]] == [
        ("r2", 70, "drawn"),
        ("r1", 15, "drawn"),
    ]
    assert {each["lot_id"]: each["spent"] for each in found["lots"]}["late"] == 50
    clock.set_source(lambda: NOW + DAY)
    assert account(shop)["balance"] == 165
    assert account(shop)["next_expiry"] == {"at": "2026-03-03T12:00:00Z", "points": 70}
    clock.set_source(lambda: NOW + 2 * DAY)
    assert account(shop)["balance"] == 95


def test_what_no_lot_covers_is_refused_whole(shop: Shop) -> None:
    post(shop, "lots", lot("a", 100, earned=0, expires=1), lot("b", 10, customer="v"))
    refused(
        post(shop, "redemptions", spend("v1", 5, customer="v"), spend("r1", 101)),
        "not_enough_points",
        "$.redemptions[1].points",
    )
    refused(post(shop, "redemptions", spend("r1", 1, at=-0.001)), "not_enough_points", "$.redemptions[0].points")
    refused(post(shop, "redemptions", spend("r1", 1, at=1)), "not_enough_points", "$.redemptions[0].points")
    refused(post(shop, "redemptions", spend("r1", 1, customer="new")), "not_enough_points", "$.redemptions[0].points")
    assert (account(shop)["redemptions"], account(shop, "v")["redemptions"]) == ([], [])
    assert shop.rows("select external_id from customer order by 1") == [("u",), ("v",)]
    assert post(shop, "redemptions", spend("r1", 100)).status_code == 200
    assert account(shop)["balance"] == 0


def test_a_redemption_in_the_past_draws_at_its_own_instant_unless_a_later_one_suffers(shop: Shop) -> None:
    post(shop, "lots", lot("brief", 50, expires=-5), lot("ever", 50))
    post(shop, "redemptions", spend("now", 40))
    assert post(shop, "redemptions", spend("then", 55, at=-6)).status_code == 200
    assert left(shop) == {"brief": 0, "ever": 5}
    refused(post(shop, "redemptions", spend("more", 6, at=-6)), "not_enough_points", "$.redemptions[0].points")
    assert left(shop) == {"brief": 0, "ever": 5}
    assert shop.rows(
        "select sum(points)::int from points_value where since <= %s and until > %s", NOW - 6 * DAY, NOW - 6 * DAY
    ) == [(45,)]


def test_a_lot_that_comes_late_is_drawn_by_what_was_spent_since(shop: Shop) -> None:
    post(shop, "lots", lot("ever", 50))
    post(shop, "redemptions", spend("r", 40, at=-2))
    post(shop, "lots", lot("brief", 30, expires=-1))
    assert left(shop) == {"brief": 0, "ever": 40}


def test_the_same_again_changes_nothing_and_other_content_is_refused(shop: Shop) -> None:
    unsaid = {"lot_id": "b", "customer": "u", "points": 7}
    post(shop, "lots", lot("a", 100, expires=3), unsaid)
    clock.set_source(lambda: NOW + timedelta(hours=1))
    assert post(shop, "lots", lot("a", 100, expires=3), unsaid).json() == {"created": 0, "unchanged": 2}
    for other in (
        lot("a", 99, expires=3),
        lot("a", 100),
        lot("a", 100, expires=3, earned=-1),
        lot("a", 100, expires=3, customer="v"),
    ):
        refused(post(shop, "lots", lot("c", 1), other), "lot_id_reused", "$.lots[1].lot_id")
    assert set(left(shop)) == {"a", "b"}
    again = {"redemption_id": "r", "customer": "u", "points": 10}
    assert post(shop, "redemptions", again).json() == {"created": 1, "unchanged": 0}
    assert post(shop, "redemptions", again).json() == {"created": 0, "unchanged": 1}
    refused(post(shop, "redemptions", again | {"points": 11}), "redemption_id_reused", "$.redemptions[0].redemption_id")
    assert account(shop)["balance"] == 97


def test_two_at_once_do_not_spend_the_same_points(shop: Shop) -> None:
    post(shop, "lots", lot("a", 100))
    answers: list[int] = []
    with second_application() as other:

        def run(client: TestClient, name: str) -> None:
            answers.extend(
                post(shop, "redemptions", spend(f"{name}{at}", 10), client=client).status_code for at in range(10)
            )

        threads = [
            threading.Thread(target=run, args=(client, str(at))) for at, client in enumerate((shop.client, other))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(answers) == [200] * 10 + [409] * 10
    assert account(shop)["balance"] == 0


def track(shop: Shop, name: str, at: datetime = NOW, user: str = "u", **properties: Any) -> None:
    shop.send("track", {"userId": user, "event": name, "timestamp": at.isoformat(), "properties": properties})


def test_events_make_the_same_rows_once(shop: Shop) -> None:
    for _ in range(2):
        track(shop, "Loyalty Points Earned", NOW - DAY, lot_id="a", points=100, expires_at="2026-03-05T12:00:00Z")
        track(shop, "Loyalty Points Redeemed", redemption_id="r", points=30)
    track(shop, "Loyalty Points Earned", lot_id="a", points=5)  # another content: the first stands
    found = account(shop)
    assert found["balance"] == 70
    assert found["next_expiry"] == {"at": "2026-03-05T12:00:00Z", "points": 70}
    assert [(each["points"], each["remaining"], each["earned_at"]) for each in found["lots"]] == [
        (100, 70, "2026-02-28T12:00:00Z")
    ]
    assert post(shop, "lots", lot("a", 100, earned=-1, expires=4)).json() == {"created": 0, "unchanged": 1}
    assert post(shop, "redemptions", spend("r", 30)).json() == {"created": 0, "unchanged": 1}
    assert len(shop.events()) == 5


def test_an_event_redemption_that_nothing_covers_waits_for_lots(shop: Shop) -> None:
    track(shop, "Loyalty Points Redeemed", NOW - DAY, redemption_id="r", points=30)
    assert [each["state"] for each in account(shop)["redemptions"]] == ["uncovered"]
    assert account(shop)["balance"] == 0
    assert len(shop.events()) == 1
    refused(post(shop, "redemptions", spend("r", 30, at=-1)), "not_enough_points", "$.redemptions[0].points")
    post(shop, "lots", lot("later", 100, earned=0))
    assert account(shop)["balance"] == 100
    post(shop, "lots", lot("before", 40, earned=-2))
    assert account(shop)["balance"] == 110
    assert [each["state"] for each in account(shop)["redemptions"]] == ["drawn"]


def test_thousands_of_redemptions_of_one_customer_come_in_quickly(shop: Shop) -> None:
    post(shop, "lots", lot("a", 1000, earned=-1))
    for start in range(0, 3000, 1000):
        messages = [
            {
                "type": "track",
                "userId": "u",
                "event": "Loyalty Points Redeemed",
                "timestamp": day(-2 if at % 3 == 0 else -0.5),
                "properties": {"redemption_id": f"r{at}", "points": 1},
            }
            for at in range(start, start + 1000)
        ]
        began = time.monotonic()
        shop.send("batch", {"batch": messages})
        assert time.monotonic() - began < 5
    assert account(shop)["balance"] == 0
    assert shop.rows("select count(*) from points_redemption where state = 'drawn'") == [(1000,)]


def test_tiers_follow_their_changes_in_time_not_in_arrival(shop: Shop) -> None:
    track(shop, "Loyalty Tier Changed", NOW - DAY, tier="gold")
    track(shop, "Loyalty Tier Changed", NOW - 2 * DAY, tier="silver")
    track(shop, "Loyalty Tier Changed", NOW + DAY, tier="platinum")
    assert account(shop)["tier"] == "gold"
    track(shop, "Loyalty Tier Changed", tier=None)
    assert account(shop)["tier"] is None
    clock.set_source(lambda: NOW + DAY)
    assert account(shop)["tier"] == "platinum"


def test_the_past_of_a_browser_becomes_the_customers(shop: Shop) -> None:
    body = {"anonymousId": "b", "event": "Loyalty Points Earned", "properties": {"lot_id": "x", "points": 5}}
    shop.send("track", body)
    shop.send("track", body | {"event": "Loyalty Tier Changed", "properties": {"tier": "gold"}})
    post(shop, "lots", lot("a", 100))
    shop.send("identify", {"anonymousId": "b", "userId": "u"})
    assert (account(shop)["balance"], account(shop)["tier"]) == (105, "gold")
    assert post(shop, "redemptions", spend("r", 105)).status_code == 200


def test_two_accounts_that_become_one_are_drawn_from_as_one_at_once(shop: Shop) -> None:
    browser = {"anonymousId": "b", "timestamp": day(-9), "event": "Loyalty Points Earned"}
    shop.send("track", browser | {"properties": {"lot_id": "brief", "points": 30, "expires_at": day(2)}})
    post(shop, "lots", lot("late", 100, expires=20))
    post(shop, "redemptions", spend("r", 40, at=-1))
    track(shop, "Loyalty Points Redeemed", NOW - DAY, redemption_id="waits", points=80)
    assert left(shop) == {"late": 60}
    shop.send("identify", {"anonymousId": "b", "userId": "u"})
    assert left(shop) == {"brief": 0, "late": 10}
    assert (account(shop)["balance"], account(shop)["next_expiry"]["points"]) == (10, 10)
    assert [each["state"] for each in account(shop)["redemptions"]] == ["drawn", "drawn"]


@pytest.mark.parametrize(
    ("name", "properties", "field"),
    [
        ("Loyalty Points Earned", {"lot_id": "a", "points": None}, "points"),
        ("Loyalty Points Earned", {"lot_id": "a", "points": "5"}, "points"),
        ("Loyalty Points Earned", {"lot_id": ["a"], "points": 5}, "lot_id"),
        ("Loyalty Points Earned", {"lot_id": "a", "points": 5, "expires_at": "soon"}, "expires_at"),
        ("Loyalty Points Redeemed", {"redemption_id": "r", "points": 1e300}, "points"),
        ("Loyalty Points Redeemed", {"redemption_id": "r", "points": True}, "points"),
        ("Loyalty Tier Changed", {"tier": True}, "tier"),
        ("Loyalty Tier Changed", {"tier": {"name": "gold"}}, "tier"),
    ],
)
def test_malformed_loyalty_events_are_refused(shop: Shop, name: str, properties: dict[str, Any], field: str) -> None:
    answer = shop.post("track", {"userId": "u", "event": name, "properties": properties})
    assert answer.status_code == 422, answer.text
    assert [fault["path"] for fault in answer.json()["errors"]] == [f"$.properties.{field}"]
    assert shop.events() == []


def test_without_points_or_tier_it_is_an_event_like_any_other(shop: Shop) -> None:
    for name in ("Loyalty Points Earned", "Loyalty Points Redeemed", "Loyalty Tier Changed"):
        track(shop, name, lot_id="a", redemption_id="a")
    assert len(shop.events()) == 3
    found = account(shop)
    assert (found["lots"], found["redemptions"], found["tier"]) == ([], [], None)


def test_a_date_is_midnight_where_the_shop_is(shop: Shop) -> None:
    shop.configure(time_zone="Europe/Budapest")
    post(shop, "lots", {"lot_id": "a", "customer": "u", "points": 1, "expires_at": "2026-03-05"})
    assert account(shop)["next_expiry"]["at"] == "2026-03-04T23:00:00Z"
    assert datetime(2026, 3, 4, 23, tzinfo=UTC) > NOW
