"""What a message promises is looked up when it is sent: lowest prices, and that the customer has not bought."""

from collections.abc import Iterator
from typing import Any

import pytest

from push_server import clock
from push_server.db import Database
from tests.doubles.scripted_push import ScriptedPush
from tests.integration.sending import Shop, later, push_service, work

DAY = 86_400


@pytest.fixture
def push(db: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedPush]:
    yield from push_service(monkeypatch)


@pytest.fixture
def shop(db: Database, push: ScriptedPush) -> Shop:
    shop = Shop.create(db, push)
    shop.customer("ada", "ada")
    return shop


def priced(shop: Shop, product_id: str, price: float | None) -> None:
    answer = shop.api.put("/v1/products", json={"products": [{"product_id": product_id, "price": price}]})
    assert answer.status_code == 200, answer.text


def track(shop: Shop, event: str, user: str, **properties: Any) -> None:
    body = {"event": event, "userId": user, "properties": properties, "timestamp": clock.rfc3339(clock.now())}
    answer = shop.api.post("/v1/track", json=body)
    assert answer.status_code == 200, answer.text


def reasons(shop: Shop, **guards: Any) -> dict[str, int]:
    """Why it did not go out, if so, and what a preview said of it."""
    campaign = shop.draft(guards=guards)
    [preview] = shop.api.post(f"/v1/campaigns/{campaign}/preview", json={"customer": "ada"}).json()["previews"]
    assert shop.api.post(f"/v1/campaigns/{campaign}/send").status_code == 202
    shop.work_until(lambda: shop.state(campaign) == "sent")
    found: dict[str, int] = shop.report(campaign)["reasons"]
    said = [error["path"] for error in preview["errors"]]
    assert ("price_guard" in found) == ("$.guards.lowest_price_30d" in said)
    return found


PRICES = {"in_stock": ["p1"], "lowest_price_30d": True}


def test_a_price_must_be_the_lowest_of_thirty_days(shop: Shop) -> None:
    priced(shop, "p1", 20)
    assert reasons(shop, **PRICES) == {}, "it never had another"
    later(10 * DAY)
    priced(shop, "p1", 15)
    later(DAY)
    priced(shop, "p1", 18)
    assert reasons(shop, **PRICES) == {"price_guard": 1}
    later(29 * DAY)
    assert reasons(shop, **PRICES) == {"price_guard": 1}, "29 days ago it was 15 for a day, up to then"
    later(2 * DAY)
    assert reasons(shop, **PRICES) == {}
    priced(shop, "p1", 17.99)
    assert reasons(shop, **PRICES) == {}


def test_each_product_must_have_such_a_price(shop: Shop) -> None:
    priced(shop, "p1", 20)
    priced(shop, "p2", None)
    assert reasons(shop, in_stock=["p1", "p2"], lowest_price_30d=True) == {"price_guard": 1}
    assert reasons(shop, in_stock=["p1", "p2"], lowest_price_30d=False) == {}
    priced(shop, "p2", 3)
    assert reasons(shop, in_stock=["p1", "p2", "p1"], lowest_price_30d=True) == {}


def test_a_price_that_rises_before_a_message_is_made_stops_it(shop: Shop, push: ScriptedPush) -> None:
    priced(shop, "p1", 20)
    campaign = shop.start(guards=PRICES)
    work("plan")
    priced(shop, "p1", 21)
    work()
    assert (shop.report(campaign)["reasons"], push.asked) == ({"price_guard": 1}, {})


@pytest.mark.parametrize("guard", [True, ["p1", "p9"]])
def test_who_has_bought_since_gets_none(shop: Shop, push: ScriptedPush, guard: Any) -> None:
    for name in ("bob", "eva", "kim", "old"):
        shop.customer(name, name)
    track(shop, "Order Completed", "old", order_id="o0", products=[{"product_id": "p1", "price": 9, "quantity": 1}])
    later(1)
    campaign = shop.start(guards={"not_bought": guard})
    work("plan")
    later(1)
    for name, product in (("bob", "p1"), ("eva", "p1"), ("kim", "p2")):
        line = {"product_id": product, "price": 9, "quantity": 1}
        track(shop, "Order Completed", name, order_id=f"o-{name}", revenue=9, products=[line])
    later(1)
    track(shop, "Order Cancelled", "eva", order_id="o-eva")
    later(1)
    work()
    has_bought = {"bob", "kim"} if guard is True else {"bob"}
    assert {one["customer"] for one in shop.deliveries(campaign, "?state=suppressed")} == has_bought
    assert shop.report(campaign)["reasons"] == {"bought": len(has_bought)}
    assert set(push.shown()) == {"ada", "bob", "eva", "kim", "old"} - has_bought
