"""The catalogue: bulk upsert, what counts as a change, history."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text
from starlette.testclient import TestClient

from push_server import clock
from push_server.db import Database


def put(api: TestClient, *products: dict[str, Any]) -> dict[str, Any]:
    answer = api.put("/v1/products", json={"products": products})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_upsert_keeps_what_is_left_out_clears_null_and_leaves_equal_rows_alone(api: TestClient) -> None:
    assert put(api, {"product_id": "a", "name": "Ball", "price": 19.99, "stock": 3}, {"product_id": "b"}) == {
        "upserted": 2,
        "created": 2,
        "updated": 0,
        "unchanged": 0,
    }
    before = api.get("/v1/products/b").json()
    counts = put(api, {"product_id": "a", "price": 0.1, "stock": None}, {"product_id": "b"}, {"product_id": "c"})
    assert counts == {"upserted": 3, "created": 1, "updated": 1, "unchanged": 1}
    changed = api.get("/v1/products/a").json()
    assert (changed["name"], changed["price"], changed["stock"]) == ("Ball", 0.1, None)
    assert api.get("/v1/products/b").json() == before


def test_history_has_a_row_for_each_change_of_price_or_stock(api: TestClient) -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    steps = [{"price": 10, "stock": 5}, {"name": "Renamed"}, {"price": 9.5}, {"stock": 4}, {"stock": 4}]
    for day, step in enumerate(steps):
        clock.set_source(lambda day=day: start + timedelta(days=day))  # type: ignore[misc]
        put(api, {"product_id": "a/b ő", **step})
    history = api.get("/v1/products/a%2Fb%20%C5%91").json()["history"]
    assert history == [
        {"at": "2026-03-04T00:00:00Z", "price": 9.5, "stock": 4},
        {"at": "2026-03-03T00:00:00Z", "price": 9.5, "stock": 5},
        {"at": "2026-03-01T00:00:00Z", "price": 10.0, "stock": 5},
    ]
    assert api.get("/v1/products/a%2Fb%20%C5%91?history=1").json()["history"] == history[:1]


def test_prices_are_exact(api: TestClient, db: Database) -> None:
    put(api, {"product_id": "a", "price": 123456789.123456})
    with db.session() as session:
        assert str(session.sql(text("select price from product")).scalar_one()) == ("123456789.123456")


def test_calls_at_once_lose_no_field_and_do_not_deadlock(api: TestClient) -> None:
    ids = [f"p{number}" for number in range(200)]
    calls = [
        [{"product_id": name, "brand": "Rex"} for name in ids],
        [{"product_id": name, "category": "dog"} for name in reversed(ids)],
        [{"product_id": name, "price": 1} for name in ids],
    ]
    threads = [threading.Thread(target=put, args=(api, *call)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    page = api.get("/v1/products?limit=1000").json()
    assert len(page["data"]) == 200
    assert page["next_cursor"] is None
    assert {(row["brand"], row["category"], row["price"]) for row in page["data"]} == {("Rex", "dog", 1.0)}


def test_pages_meet_each_product_once(api: TestClient) -> None:
    put(api, *({"product_id": f"p{number}"} for number in range(7)))
    seen: list[str] = []
    cursor = ""
    while cursor is not None:
        page = api.get("/v1/products", params={"limit": 3, "cursor": cursor}).json()
        seen += [row["product_id"] for row in page["data"]]
        cursor = page["next_cursor"]
    assert seen == [f"p{number}" for number in range(7)]
