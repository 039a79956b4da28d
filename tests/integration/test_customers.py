"""Customers by the shop's ids: attributes merged, limits, the timeline."""

import threading
from base64 import b64encode
from typing import Any
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from push_server.app import create_app
from push_server.db import Database
from push_server.sites.service import NewSite, create_site


def put(api: TestClient, external_id: str, status: int = 200, **body: Any) -> dict[str, Any]:
    answer = api.put(f"/v1/customers/{quote(external_id, safe='')}", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_attributes_merge_and_null_takes_one_away(api: TestClient) -> None:
    put(api, "u1", 201, attributes={"country": "HU", "vip": True, "tags": ["a", {"b": None}]}, time_zone="Europe/Oslo")
    changed = put(api, "u1", attributes={"country": None, "visits": 2.5})
    assert changed["attributes"] == {"vip": True, "tags": ["a", {"b": None}], "visits": 2.5}
    assert changed["time_zone"] == "Europe/Oslo"
    assert put(api, "u1", attributes={"timezone": "Asia/Tokyo"})["time_zone"] == "Asia/Tokyo"
    assert put(api, "u1", time_zone=None)["time_zone"] is None
    assert api.get("/v1/customers/u1").json()["attributes"]["visits"] == 2.5


@pytest.mark.parametrize("external_id", ["a/b", "ő ?#&%", "x/timeline", "..x", "1" * 255])
def test_any_id_can_be_addressed(api: TestClient, external_id: str) -> None:
    put(api, external_id, 201, attributes={"a": 1})
    if external_id != "x/timeline":  # read as the timeline of x, so it is found by the filter alone
        assert api.get(f"/v1/customers/{quote(external_id, safe='')}").json()["external_id"] == external_id
    found = api.get("/v1/customers", params={"external_id": external_id}).json()["data"]
    assert [customer["external_id"] for customer in found] == [external_id]


def test_puts_at_once_lose_nothing(api: TestClient) -> None:
    answers: list[int] = []

    def one(number: int) -> None:
        answer = api.put("/v1/customers/u1", json={"attributes": {f"a{number}": number}})
        answers.append(answer.status_code)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(answers) <= {200, 201}
    assert api.get("/v1/customers/u1").json()["attributes"] == {f"a{number}": number for number in range(8)}


def test_limits_hold_for_what_is_stored_not_only_for_what_is_sent(api: TestClient) -> None:
    put(api, "u1", 201, attributes={f"a{number}": 1 for number in range(300)})
    refused = put(api, "u1", 422, attributes={"one": "more"})
    assert refused["code"] == "too_many_attributes"
    assert len(api.get("/v1/customers/u1").json()["attributes"]) == 300
    put(api, "u1", attributes={"a0": None, "one": "less"})
    assert put(api, "u2", 422, attributes={"long": "x" * 70_000})["code"] == "too_many_attributes"
    assert api.get("/v1/customers/u2").status_code == 404
    deep: Any = 1
    for _ in range(12):
        deep = [deep]
    fault = put(api, "u2", 422, attributes={"fine": 1, "deep": deep})["errors"][0]
    assert (fault["code"], fault["path"][:14]) == ("too_deep", "$.attributes.d")


def test_the_list_meets_each_customer_once(api: TestClient) -> None:
    for number in range(7):
        put(api, f"u{number}", 201)
    seen: list[str] = []
    cursor = ""
    while cursor is not None:
        page = api.get("/v1/customers", params={"limit": 3, "cursor": cursor}).json()
        seen += [customer["external_id"] for customer in page["data"]]
        cursor = page["next_cursor"]
    assert sorted(seen) == [f"u{number}" for number in range(7)]


@pytest.fixture
def ingest(site: NewSite) -> Any:
    basic = b64encode(f"{site.public_key}:".encode()).decode()
    with TestClient(create_app(), headers={"Authorization": f"Basic {basic}"}) as client:

        def send(*events: dict[str, Any]) -> None:
            batch = [{"type": "track", "userId": "u/1", "properties": {}, **event} for event in events]
            answer = client.post("/v1/batch", json={"batch": batch})
            assert answer.status_code == 200, answer.text

        yield send


def pages(api: TestClient, path: str, **query: Any) -> list[dict[str, Any]]:
    seen: list[dict[str, Any]] = []
    cursor = ""
    while cursor is not None:
        answer = api.get(path, params={"limit": 2, "cursor": cursor, **query})
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["data"]) <= 2
        seen += answer.json()["data"]
        cursor = answer.json()["next_cursor"]
    return seen


def test_the_timeline_is_newest_first_whatever_came_first(api: TestClient, ingest: Any) -> None:
    ingest(
        {"event": "Product Viewed", "timestamp": "2026-01-02T00:00:00Z", "properties": {"product_id": "p1"}},
        {"event": "Product Added", "timestamp": "2026-01-03T00:00:00Z"},
        {"event": "Viewed Product", "timestamp": "2026-01-01T00:00:00Z", "messageId": "m1"},
        {"event": "Product Added", "timestamp": "2026-01-03T00:00:00Z"},
        {"event": "Signed In", "userId": "u2", "timestamp": "2026-01-04T00:00:00Z"},
    )
    timeline = pages(api, f"/v1/customers/{quote('u/1', safe='')}/timeline")
    assert [(event["event"], event["timestamp"][:10]) for event in timeline] == [
        ("Product Added", "2026-01-03"),
        ("Product Added", "2026-01-03"),
        ("Product Viewed", "2026-01-02"),
        ("Product Viewed", "2026-01-01"),
    ]
    assert timeline[2]["properties"] == {"product_id": "p1"}
    assert timeline[3]["message_id"] == "m1"
    stream = pages(api, "/v1/events")
    assert [event["external_id"] for event in stream] == ["u2", "u/1", "u/1", "u/1", "u/1"]
    assert len(pages(api, "/v1/events", event="Viewed Product", external_id="u/1")) == 2


def test_another_sites_customers_and_events_are_not_there(api: TestClient, ingest: Any, db: Database) -> None:
    ingest({"event": "Product Viewed"})
    with db.session() as session:
        other = create_site(session, "Other", ["https://other.example"])
    stranger = TestClient(create_app(), headers={"Authorization": f"Bearer {other.secret_key}"})
    for path in ("/v1/customers/u%2F1", "/v1/customers/u%2F1/timeline", "/v1/events?external_id=u/1"):
        assert api.get(path).status_code == 200
        answer = stranger.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "no_such_customer")
    assert stranger.get("/v1/customers").json()["data"] == stranger.get("/v1/events").json()["data"] == []
