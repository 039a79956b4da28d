"""Opting in and out: identity, the same browser never twice, keys and secrets."""

import json
import threading
from base64 import b64encode, urlsafe_b64encode
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import text
from starlette.testclient import TestClient

from push_server import security
from push_server.app import create_app
from push_server.db import Database
from push_server.sites.service import NewSite, create_site

FIREFOX = "https://updates.push.services.mozilla.com/wpush/v2/"
GOOGLE = "https://fcm.googleapis.com/fcm/send/"
AUTH = bytes(range(16))


def b64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def point() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


POINT = point()


def subscription(endpoint: str, p256dh: bytes = POINT) -> dict[str, Any]:
    return {"endpoint": endpoint, "expirationTime": None, "keys": {"p256dh": b64(p256dh), "auth": b64(AUTH)}}


@pytest.fixture
def api(site: NewSite) -> TestClient:
    """As a browser calls, with the public key as Basic user name."""
    return browser_of(site)


@pytest.fixture
def shop(site: NewSite) -> TestClient:
    """As the shop's server calls, with the secret key."""
    return server_of(site)


def browser_of(site: NewSite) -> TestClient:
    basic = b64encode(f"{site.public_key}:".encode()).decode()
    return TestClient(create_app(), headers={"Authorization": f"Basic {basic}"})


def server_of(site: NewSite) -> TestClient:
    return TestClient(create_app(), headers={"Authorization": f"Bearer {site.secret_key}"})


def opt_in(api: TestClient, endpoint: str, status: int = 201, **more: Any) -> dict[str, Any]:
    body = {"subscription": subscription(endpoint), "anonymousId": "browser-1", **more}
    answer = api.post("/v1/subscriptions", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def listed(shop: TestClient, query: str = "") -> list[dict[str, Any]]:
    answer = shop.get(f"/v1/subscriptions{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def test_the_same_endpoint_is_one_subscription(api: TestClient, shop: TestClient) -> None:
    first = opt_in(api, FIREFOX + "a", topics=["sales"], context={"locale": "hu-HU", "timezone": "Europe/Budapest"})
    again = opt_in(api, FIREFOX + "a", 200, context={"locale": "nb-NO", "timezone": "Mars/Olympus"})
    assert first["created"] is True
    assert again == {"id": first["id"], "created": False}
    (row,) = listed(shop)
    assert (row["browser"], row["locale"], row["time_zone"], row["topics"], row["state"]) == (
        "firefox",
        "nb-NO",
        "Europe/Budapest",
        ["sales"],
        "active",
    )
    assert row["push_service"] == "https://updates.push.services.mozilla.com"
    assert "wpush" not in json.dumps(row)
    assert b64(POINT) not in json.dumps(row)


def test_posts_at_once_make_one_row(api: TestClient, shop: TestClient) -> None:
    answers: list[dict[str, Any]] = []

    def post(number: int) -> None:
        body = {"subscription": subscription(GOOGLE + "x"), "anonymousId": "b", "userId": f"u{number % 2}"}
        answer = api.post("/v1/subscriptions", json=body)
        assert answer.status_code in (200, 201), answer.text
        answers.append(answer.json())

    threads = [threading.Thread(target=post, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8
    assert len({answer["id"] for answer in answers}) == 1
    assert [answer["created"] for answer in answers].count(True) == 1
    assert len(listed(shop)) == 1


def test_a_previous_endpoint_is_replaced_and_hands_on_its_topics(api: TestClient, shop: TestClient) -> None:
    opt_in(api, FIREFOX + "old", topics=["sales", "news"], userId="u1")
    new = opt_in(api, FIREFOX + "new", previousEndpoint=FIREFOX + "old")
    rows = {row["id"]: row for row in listed(shop)}
    assert rows.pop(new["id"])["topics"] == ["sales", "news"]
    (old,) = rows.values()
    assert old["state"] == "replaced"
    assert old["ended_at"] is not None
    assert [row["id"] for row in listed(shop, "?state=active&external_id=u1")] == [new["id"]]


def test_a_renewal_that_knows_the_former_endpoint_alone_stays_the_customers(api: TestClient, shop: TestClient) -> None:
    opt_in(api, FIREFOX + "old", userId="u1")
    body = {"subscription": subscription(FIREFOX + "new"), "previousEndpoint": FIREFOX + "old", "context": {}}
    assert api.post("/v1/subscriptions", json=body).status_code == 201
    assert {(row["external_id"], row["state"]) for row in listed(shop)} == {("u1", "replaced"), ("u1", "active")}
    stranger = api.post(
        "/v1/subscriptions",
        json=body | {"subscription": subscription(FIREFOX + "3")} | {"previousEndpoint": FIREFOX + "?"},
    )
    assert (stranger.status_code, stranger.json()["code"]) == (422, "no_identity")


def test_a_known_customer_takes_over_the_anonymous_one(api: TestClient, shop: TestClient, db: Database) -> None:
    opt_in(api, FIREFOX + "a")
    opt_in(api, FIREFOX + "b", userId="u1")
    assert {row["external_id"] for row in listed(shop)} == {"u1"}
    with db.session() as session:
        assert session.sql(text("select count(*) from customer")).scalar_one() == 1
    opt_in(api, FIREFOX + "a", 200, userId="u1")
    opt_in(api, FIREFOX + "a", 200, userId="u2")
    assert sorted(row["external_id"] for row in listed(shop)) == ["u1", "u2"]


def test_unsubscribing_is_final_until_the_browser_comes_back(api: TestClient, shop: TestClient) -> None:
    made = opt_in(api, GOOGLE + "a")
    for _ in range(2):
        assert api.request("DELETE", "/v1/subscriptions", json={"endpoint": GOOGLE + "a"}).status_code == 204
    assert [row["state"] for row in listed(shop)] == ["unsubscribed"]
    assert opt_in(api, GOOGLE + "a", 200) == {"id": made["id"], "created": False}
    (row,) = listed(shop)
    assert (row["state"], row["ended_at"]) == ("active", None)


def test_another_site_neither_sees_nor_ends_it(api: TestClient, shop: TestClient, db: Database) -> None:
    with db.session() as session:
        other = create_site(session, "Other", ["https://other.example"])
    opt_in(api, GOOGLE + "a")
    stranger = browser_of(other)
    assert stranger.request("DELETE", "/v1/subscriptions", json={"endpoint": GOOGLE + "a"}).status_code == 204
    assert [row["state"] for row in listed(shop)] == ["active"]
    opt_in(stranger, GOOGLE + "b", previousEndpoint=GOOGLE + "a")
    assert [row["state"] for row in listed(shop)] == ["active"]
    assert len(listed(server_of(other))) == 1


def test_text_plain_with_the_key_in_the_body_is_taken(shop: TestClient, site: NewSite) -> None:
    body = {"subscription": subscription(GOOGLE + "a"), "anonymousId": "b", "writeKey": site.public_key, "new": 1}
    answer = TestClient(create_app()).post(
        "/v1/subscriptions",
        content=json.dumps(body),
        headers={"Content-Type": "text/plain;charset=UTF-8", "Origin": "https://shop.example", "User-Agent": "Edg/99"},
    )
    assert answer.status_code == 201, answer.text
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"
    assert [row["browser"] for row in listed(shop)] == ["edge"]


def test_auth_is_sealed_and_the_key_remembered(api: TestClient, shop: TestClient, site: NewSite, db: Database) -> None:
    """After a rotation a browser still counts under the key it subscribed with, until it subscribes anew."""
    opt_in(api, GOOGLE + "a")
    opt_in(api, GOOGLE + "o")
    made = shop.post("/v1/site/vapid-keys").json()
    opt_in(api, GOOGLE + "o", 200)
    opt_in(api, GOOGLE + "b")
    opt_in(api, GOOGLE + "c", applicationServerKey=site.vapid_public_key)
    opt_in(api, GOOGLE + "d", applicationServerKey=made["public_key"])
    opt_in(api, GOOGLE + "a", 200, subscription=subscription(GOOGLE + "a", point()))
    unknown = opt_in(api, GOOGLE + "e", 422, applicationServerKey=b64(point()))
    assert unknown["code"] == "unknown_application_server_key"
    with db.session() as session:
        rows = session.sql(
            text(
                "select right(s.endpoint, 1) as name, v.public_key, s.auth, s.p256dh"
                " from subscription s join vapid_key v on v.id = s.vapid_key_id"
            )
        ).all()
    keys = {row.name: b64(bytes(row.public_key)) for row in rows}
    assert keys == {
        "a": made["public_key"],
        "b": made["public_key"],
        "c": site.vapid_public_key,
        "d": made["public_key"],
        "o": site.vapid_public_key,
    }
    for row in rows:
        assert AUTH not in bytes(row.auth)
        assert security.unseal(bytes(row.auth), "subscription.auth") == AUTH


def test_identity_verification_demands_the_hash(api: TestClient, shop: TestClient, site: NewSite) -> None:
    shop.patch("/v1/site", json={"identity_verification": True})
    secret = shop.get("/v1/site/identity-secret").json()["identity_secret"]
    assert opt_in(api, GOOGLE + "a", 403, userId="u1")["code"] == "user_hash_invalid"
    good = security.user_hash(secret.encode(), "u1")
    assert opt_in(api, GOOGLE + "a", 403, userId="u2", userHash=good)["code"] == "user_hash_invalid"
    opt_in(api, GOOGLE + "a", 201, userId="u1", userHash=good)
    opt_in(api, GOOGLE + "b", 201)
