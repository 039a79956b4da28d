"""Bad input to the ingest paths: a 4xx with a stable code and the place of each fault, never a 5xx, nothing stored."""

import json
from typing import Any

import pytest

from tests.integration.ingest import Shop, shop

__all__ = ["shop"]

OK: dict[str, Any] = {"userId": "u", "event": "X"}
ORDER: dict[str, Any] = {"userId": "u", "event": "Order Completed"}
LONG = "x" * 256


def props(**properties: Any) -> dict[str, Any]:
    return OK | {"properties": properties}


def order(event: str = "Order Completed", **properties: Any) -> dict[str, Any]:
    return {"userId": "u", "event": event, "properties": properties}


MALFORMED = [
    b"",
    b"{",
    b"\xff\xfe",
    b'{"userId": "u", "event": "X"} trailing',
    b'{"userId": "u", "event": "X", "properties": {"n": NaN}}',
    b'{"userId": "u", "event": "X", "properties": {"n": 01}}',
    b'{"userId": "u", "event": "\xff"}',
    b'{"userId": "u", "event": "\\ud800"}',
    b'{"userId": "u", "event": "X", "properties": {"s": "\\ud800"}}',
    b'{"userId": "u", "event": "X", "properties": {"s": "a\nb"}}',
    b'{"userId": "u", "event": "X", "properties": ' + b'{"a":' * 2000 + b"1" + b"}" * 2001,
]

FAULTS: list[tuple[str, Any, str]] = [
    ("track", [], "$"),
    ("track", 5, "$"),
    ("track", {"userId": "u"}, "$.event"),
    ("track", {"event": "X"}, "$"),
    ("track", {"event": "X", "userId": None, "anonymousId": None}, "$"),
    ("track", OK | {"event": ""}, "$.event"),
    ("track", OK | {"event": LONG}, "$.event"),
    ("track", OK | {"event": 5}, "$.event"),
    ("track", OK | {"event": "a\0b"}, "$.event"),
    ("track", OK | {"userId": 5}, "$.userId"),
    ("track", OK | {"userId": ""}, "$.userId"),
    ("track", OK | {"userId": LONG}, "$.userId"),
    ("track", OK | {"anonymousId": ""}, "$.anonymousId"),
    ("track", OK | {"anonymousId": ["b"]}, "$.anonymousId"),
    ("track", OK | {"messageId": LONG}, "$.messageId"),
    ("track", OK | {"messageId": "\0"}, "$.messageId"),
    ("track", OK | {"timestamp": "yesterday"}, "$.timestamp"),
    ("track", OK | {"timestamp": "2026-02-30T00:00:00Z"}, "$.timestamp"),
    ("track", OK | {"timestamp": 1700000000}, "$.timestamp"),
    ("track", OK | {"timestamp": "0001-01-01T00:00:00Z"}, "$.timestamp"),
    ("track", OK | {"timestamp": "9999-12-31T23:59:59Z"}, "$.timestamp"),
    ("track", OK | {"timestamp": "2026-01-01T00:00:00Z", "sentAt": "0001-01-01T00:00:00Z"}, "$.timestamp"),
    ("track", OK | {"sentAt": "now"}, "$.sentAt"),
    ("track", OK | {"properties": []}, "$.properties"),
    ("track", OK | {"properties": "x"}, "$.properties"),
    ("track", OK | {"context": "x"}, "$.context"),
    ("track", props(note="a\0b"), "$.properties.note"),
    ("track", props(deep=[{"x": "\0"}]), "$.properties.deep[0].x"),
    ("track", props(revenue=10**18), "$.properties.revenue"),
    ("track", props(product_id=LONG), "$.properties.product_id"),
    ("track", props(category=LONG), "$.properties.category"),
    ("track", order(revenue="12.50"), "$.properties.revenue"),
    ("track", order(total=True), "$.properties.total"),
    ("track", order(order_id={}), "$.properties.order_id"),
    ("track", order(order_id=LONG), "$.properties.order_id"),
    ("track", order(products={}), "$.properties.products"),
    ("track", order(products=[1]), "$.properties.products[0]"),
    ("track", order(products=[{}, {"price": "1"}]), "$.properties.products[1].price"),
    ("track", order(products=[{"quantity": -1}]), "$.properties.products[0].quantity"),
    ("track", order(products=[{"price": 1e9, "quantity": 1e9}]), "$.properties.products[0]"),
    ("track", order(products=[{"category": 1}]), "$.properties.products[0].category"),
    ("track", order("Order Cancelled"), "$.properties.order_id"),
    ("track", order("Order Refunded", order_id="1", revenue=-5), "$.properties.revenue"),
    ("identify", {"userId": "u", "traits": []}, "$.traits"),
    ("identify", {"userId": "u", "traits": {"a": 10**40}}, "$.traits.a"),
    ("identify", {"traits": {}}, "$"),
    ("page", {"anonymousId": "b", "name": 5}, "$.name"),
    ("page", {}, "$"),
    ("alias", {"userId": "u"}, "$.previousId"),
    ("alias", {"previousId": "b"}, "$.userId"),
    ("batch", {}, "$"),
    ("batch", {"batch": {}}, "$.batch"),
    ("batch", {"batch": [5]}, "$.batch[0]"),
    ("batch", {"batch": [{"userId": "u", "event": "X"}]}, "$.batch[0].type"),
    ("batch", {"batch": [{"type": "screen", "userId": "u"}]}, "$.batch[0].type"),
    ("batch", {"batch": [], "sentAt": 5}, "$.sentAt"),
    ("batch", {"batch": [{"type": "track", **OK}], "context": []}, "$.context"),
]


@pytest.mark.parametrize("body", MALFORMED, ids=range(len(MALFORMED)))
def test_what_is_no_json(shop: Shop, body: bytes) -> None:
    answer = shop.post("track", body)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_json")
    assert answer.headers["content-type"] == "application/problem+json"


def test_each_fault_has_its_path_and_nothing_is_stored(shop: Shop) -> None:
    for kind, body, path in FAULTS:
        answer = shop.post(kind, body)
        assert answer.status_code == 422, (body, answer.text)
        assert [fault["path"] for fault in answer.json()["errors"]] == [path], (body, answer.text)
    assert shop.rows("select (select count(*) from event_body) + (select count(*) from customer)") == [(0,)]


def test_all_faults_of_a_batch_are_named_and_none_of_it_is_stored(shop: Shop) -> None:
    track = {"type": "track", **OK}
    answer = shop.post("batch", {"batch": [track, track | {"event": 1, "userId": ""}, track, track | {"timestamp": 5}]})
    places = [fault["path"] for fault in answer.json()["errors"]]
    assert places == ["$.batch[1].event", "$.batch[1].userId", "$.batch[3].timestamp"]
    answer = shop.post("batch", {"batch": [track, {"type": "track", "userId": "u"}, {"type": "alias", "userId": "u"}]})
    assert [fault["path"] for fault in answer.json()["errors"]] == ["$.batch[1].event", "$.batch[2].previousId"]
    assert shop.events() == []


def test_limits_of_size(shop: Shop) -> None:
    fits = props(note="x" * (32 * 1024 - 90))
    assert shop.post("track", fits).status_code == 200
    assert shop.post("track", props(note="x" * 32 * 1024)).json()["code"] == "body_too_large"
    large = {"type": "track", **props(note="x" * 32 * 1024)}
    answer = shop.post("batch", {"batch": [{"type": "track", **OK}, large]})
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (413, "$.batch[1]")
    assert shop.post("batch", {"batch": [{"type": "track", **fits}] * 16}).json()["code"] == "body_too_large"
    assert len(shop.events()) == 1


@pytest.mark.parametrize(
    "number",
    ["1e400", "-1e400", "9" * 5000, "1e-400", "1e-99999999999999999999", "0.1e-20000", "-0", "1E+5", "9" * 4000],
)
@pytest.mark.parametrize("body", ['{"note": %s}', '{"revenue": %s}', '{"order_id": "1", "products": [{"price": %s}]}'])
def test_strange_numbers_are_stored_or_refused(shop: Shop, number: str, body: str) -> None:
    for name in ("X", "Order Completed"):
        text = json.dumps({"userId": "u", "event": name, "properties": 0}).replace(": 0}", ": " + body % number + "}")
        answer = shop.post("track", text.encode())
        assert answer.status_code in (200, 400, 422), answer.text
    json.dumps(shop.rows("select properties from event_body"))


def test_what_only_the_database_refuses_fails_alone(shop: Shop) -> None:
    deep = b'{"userId": "u", "event": "X", "properties": ' + b'{"a":' * 900 + b"1" + b"}" * 901
    answer = shop.post("track", deep)
    assert answer.status_code in (200, 422), answer.text
