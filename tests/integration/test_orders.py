"""Orders derived from events over HTTP, whatever comes first and however often."""

import itertools
import threading
from datetime import timedelta
from typing import Any

import pytest

from tests.integration.ingest import NOW, Shop, second_application, shop

__all__ = ["shop"]

DOGS = {"product_id": "p1", "category": "dog", "price": 10.5, "quantity": 2, "brand": "Rex"}
CAT = {"sku": "p2", "price": 5}
COMPLETED = {"order_id": "o1", "revenue": 26, "currency": "EUR", "products": [DOGS, CAT]}


def said(event: str, day: int, **properties: Any) -> dict[str, Any]:
    at = (NOW + timedelta(days=day)).isoformat()
    return {"type": "track", "userId": "u1", "event": event, "timestamp": at, "properties": properties}


def worth(shop: Shop) -> list[tuple[Any, ...]]:
    """Versions of all orders: order id, since and until in days, value, sum of the lines' amounts."""
    return shop.rows(
        "select o.order_id, extract(day from v.since - %s)::int,"
        " case when isfinite(v.until) then extract(day from v.until - %s)::int end, v.value / 1e6::float,"
        " (select sum(l.amount) / 1e6::float from order_line l where l.order_ref = o.id and l.since = v.since)"
        " from order_value v join orders o on o.id = v.order_ref and o.site_id = v.site_id"
        " and o.customer_id = v.customer_id and o.ts = v.ts and o.seq = v.seq order by 1, 2",
        NOW,
        NOW,
    )


def test_an_order_with_its_lines(shop: Shop) -> None:
    shop.send("track", said("Order Completed", 0, **COMPLETED))
    assert worth(shop) == [("o1", 0, None, 26, 26)]
    assert shop.rows(
        "select p.text, c.text, quantity::int, amount, line from order_line l left join term p on p.id = l.product_id"
        " left join term c on c.id = l.category_id order by 1"
    ) == [("p1", "dog", 2, 21_000_000, DOGS), ("p2", None, 1, 5_000_000, CAT)]
    assert shop.rows("select currency, c.external_id from orders join customer c on c.id = customer_id") == [
        ("EUR", "u1")
    ]


@pytest.mark.parametrize("way", list(itertools.permutations(range(4))))
def test_whatever_comes_first_the_outcome_is_the_same(shop: Shop, way: tuple[int, ...]) -> None:
    facts = [
        said("Order Completed", 0, **COMPLETED),
        said("Order Updated", 1, order_id="o1", total=30),
        said("Order Refunded", 2, order_id="o1", products=[{"product_id": "p1", "quantity": 1}]),
        said("Order Cancelled", 3, order_id="o1"),
    ]
    for at in way[:2]:
        shop.send("track", facts[at])
    shop.send("batch", {"batch": [facts[at] for at in way[2:]]})
    assert worth(shop) == [("o1", 0, 1, 26, 26), ("o1", 1, 2, 30, 26), ("o1", 2, 3, 19.5, 15.5)]


def test_replays_change_nothing(shop: Shop) -> None:
    order = said("Order Completed", 0, **COMPLETED)
    again = said("Order Completed", 5, order_id="o1", revenue=99) | {"userId": "u2"}
    shop.send("batch", {"batch": [order, again]})
    shop.send("track", again)
    cancelled = said("Order Cancelled", 2, order_id="o1")
    for _ in range(3):
        shop.send("track", cancelled)
    shop.send("track", order)
    assert worth(shop) == [("o1", 0, 2, 26, 26)]
    assert [row[0] for row in shop.events()].count("Order Completed") == 1


def test_an_order_without_id_goes_by_its_message(shop: Shop) -> None:
    for _ in range(2):
        shop.send("track", said("Order Completed", 0, revenue=1) | {"messageId": "m1"})
    shop.send("track", said("Order Completed", 0, revenue=2))
    assert sorted(row[3] for row in worth(shop)) == [1, 2]
    assert shop.rows("select order_id from orders where value = 1000000") == [("m1",)]


def test_orders_move_with_a_merge(shop: Shop) -> None:
    shop.send("identify", {"userId": "u1"})
    shop.send("track", said("Order Completed", 0, **COMPLETED) | {"userId": None, "anonymousId": "b1"})
    shop.send("identify", {"userId": "u1", "anonymousId": "b1"})
    shop.send("track", said("Order Refunded", 1, order_id="o1", revenue=6))
    assert worth(shop) == [("o1", 0, 1, 26, 26), ("o1", 1, None, 20, 26)]
    assert shop.rows("select distinct external_id from order_line join customer c on c.id = customer_id") == [("u1",)]


def test_an_order_and_its_cancellation_at_the_same_time(shop: Shop) -> None:
    """Through two writers: whichever commits first, the other must see it."""
    with second_application() as other:
        for number in range(30):
            order = said("Order Completed", 0, order_id=f"o{number}", revenue=5)
            cancelled = said("Order Cancelled", 1, order_id=f"o{number}")
            start = threading.Barrier(2)

            def cancel(start: threading.Barrier = start, body: dict[str, Any] = cancelled) -> None:
                start.wait()
                shop.client.post("/v1/track", json=body | {"writeKey": shop.public_key})

            thread = threading.Thread(target=cancel)
            thread.start()
            start.wait()
            other.post("/v1/track", json=order | {"writeKey": shop.public_key})
            thread.join()
    found = worth(shop)
    assert len(found) == 30
    assert {row[1:] for row in found} == {(0, 1, 5, None)}
