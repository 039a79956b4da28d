"""What a campaign is worth, by the orders of those who were held out of it."""

from collections.abc import Iterator
from typing import Any

import pytest

from push_server.db import Database
from push_server.delivery.held_out import Difference, Group, difference
from tests.doubles.scripted_push import ScriptedPush
from tests.integration.sending import Shop, later, push_service
from tests.integration.test_delivery_guards import track

DAY = 86_400


@pytest.fixture
def push(db: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedPush]:
    yield from push_service(monkeypatch)


@pytest.fixture
def shop(db: Database, push: ScriptedPush) -> Shop:
    return Shop.create(db, push)


def worth(shop: Shop, campaign: str) -> dict[str, Any]:
    answer = shop.api.get(f"/v1/campaigns/{campaign}/holdout")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def group(customers: int = 0, buyers: int = 0, orders: int = 0, revenue: float = 0) -> dict[str, float]:
    return {"customers": customers, "buyers": buyers, "orders": orders, "revenue": revenue}


def buy(shop: Shop, who: str, order_id: str) -> None:
    line = {"product_id": "p1", "price": 12.5, "quantity": 1}
    track(shop, "Order Completed", who, order_id=order_id, revenue=12.5, products=[line])


def test_orders_of_both_groups_within_seven_days(shop: Shop, push: ScriptedPush) -> None:
    names = shop.crowd(40)
    shop.customer("nobody's browser")
    buy(shop, names[0], "before")
    later(1)
    campaign = shop.send(holdout_percent=40)
    rows = shop.deliveries(campaign)
    held = sorted({row["customer"] for row in rows if row["reason"] == "holdout"})
    others = sorted({row["customer"] for row in rows if row["state"] == "accepted"})
    assert len(held) + len(others) == 40
    assert len(held) > 2
    later(DAY)
    for number, who in enumerate([held[0], others[0], others[0], others[1], others[2], "nobody's browser"]):
        buy(shop, who, f"o{number}")
    track(shop, "Order Cancelled", others[2], order_id="o4")
    later(5 * DAY)
    buy(shop, held[1], "late but counted")
    later(2 * DAY)
    buy(shop, others[3], "too late")
    later(1)
    found = worth(shop, campaign)
    assert found["held_out"] == group(len(held), 2, 2, 25)
    assert found["others"] == group(len(others), 2, 3, 37.5)
    assert found["difference"]["buyers"] == pytest.approx(2 / len(others) - 2 / len(held), abs=1e-6)


def test_without_a_holdout_there_is_nothing_to_compare(shop: Shop, push: ScriptedPush) -> None:
    shop.crowd(2)
    assert worth(shop, shop.draft()) == {"held_out": group(), "others": group(), "difference": None, "until": None}
    found = worth(shop, shop.send())
    assert (found["others"], found["difference"]) == (group(2), None)
    assert found["until"] is not None


def test_customers_with_two_browsers_and_tests_count_once_and_never(shop: Shop, push: ScriptedPush) -> None:
    shop.customer("ada", "phone", "desk")
    campaign = shop.draft()
    assert shop.api.post(f"/v1/campaigns/{campaign}/test", json={"customer": "ada"}).status_code == 202
    assert worth(shop, campaign)["others"] == group()
    assert shop.api.post(f"/v1/campaigns/{campaign}/send").status_code == 202
    shop.work_until(lambda: shop.state(campaign) == "sent")
    assert worth(shop, campaign)["others"] == group(1)


def test_the_interval_is_agrestis_and_caffos() -> None:
    """The example of docs/campaigns.md, computed by hand."""
    assert difference(Group(1000, 50), Group(9000, 630)) == Difference(0.02, 0.004602, 0.033792)
    assert difference(Group(), Group(5, 5)) is None
    assert difference(Group(3, 0), Group(3, 3)) == Difference(1, 0.104164, 1.095836)
