"""Sites, keys, and the scoping of rows by site."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlmodel import select
from starlette.testclient import TestClient

from push_server import clock, security
from push_server.db import Database, NoSite
from push_server.http import forget_idempotency_keys
from push_server.sites.models import ApiKey, VapidKey
from push_server.sites.service import NewSite, create_site


def test_rows_of_another_site_are_invisible(db: Database) -> None:
    with db.session() as session:
        create_site(session, "One", ["https://one.example"])
        first = session.site_id
    with db.session() as session:
        create_site(session, "Two", ["https://two.example"])
    with db.session(site_id=first) as session:
        assert {key.site_id for key in session.exec(select(VapidKey))} == {first}
    with db.session() as session, pytest.raises(NoSite):
        session.exec(select(ApiKey)).all()


def test_patch_changes_what_is_given_and_answers_with_the_whole(api: TestClient, site: NewSite) -> None:
    before = api.get("/v1/site").json()
    assert before["id"] == site.site_id
    assert before["vapid_public_key"] == site.vapid_public_key
    after = api.patch(
        "/v1/site",
        json={
            "origins": ["https://Shop.example:443", "https://www.shop.example/"],
            "currency": "HUF",
            "prompt": {"title": "Árak?", "accept": "Igen"},
        },
    ).json()
    assert after == before | {
        "origins": ["https://shop.example", "https://www.shop.example"],
        "currency": "HUF",
        "prompt": {"title": "Árak?", "accept": "Igen"},
    }
    assert api.patch("/v1/site", json={"prompt": {"accept": "Jó"}}).json()["prompt"] == {
        "title": "Árak?",
        "accept": "Jó",
    }
    assert api.patch("/v1/site", json={"prompt": None}).json()["prompt"] == {}
    assert api.get("/v1/site").json()["currency"] == "HUF"


def test_a_key_works_within_its_scopes_until_it_is_revoked(api: TestClient) -> None:
    made = api.post("/v1/site/keys", json={"name": "warehouse", "scopes": ["products:read", "site:read"]})
    assert made.status_code == 201
    headers = {"Authorization": f"Bearer {made.json()['key']}"}
    assert api.get("/v1/products", headers=headers).status_code == 200
    assert api.put("/v1/products", headers=headers, json={"products": []}).json()["code"] == "scope_missing"
    listed = {key["name"]: key for key in api.get("/v1/site/keys").json()["data"]}["warehouse"]
    assert listed["last_used_at"] is not None
    assert "key" not in listed
    assert api.delete(f"/v1/site/keys/{made.json()['id']}").status_code == 204
    assert api.get("/v1/products", headers=headers).json()["code"] == "unknown_key"


def test_no_key_hands_on_more_than_it_has_or_ends_itself(api: TestClient) -> None:
    made = api.post("/v1/site/keys", json={"name": "site", "scopes": ["site:write", "site:read"]}).json()
    headers = {"Authorization": f"Bearer {made['key']}"}
    answer = api.post("/v1/site/keys", headers=headers, json={"name": "more", "scopes": ["site:read", "*"]})
    assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
    assert answer.json()["errors"][0]["path"] == "$.scopes[1]"
    assert api.delete(f"/v1/site/keys/{made['id']}", headers=headers).json()["code"] == "key_in_use"


def test_a_repeated_creation_answers_alike_and_the_secret_is_not_kept_in_the_clear(
    api: TestClient, db: Database
) -> None:
    call = {"json": {"name": "one", "scopes": ["site:read"]}, "headers": {"Idempotency-Key": "make-one"}}
    first = api.post("/v1/site/keys", **call)  # type: ignore[arg-type]
    again = api.post("/v1/site/keys", **call)  # type: ignore[arg-type]
    assert (again.status_code, again.json()) == (201, first.json())
    assert [key["name"] for key in api.get("/v1/site/keys").json()["data"]] == ["default", "one"]
    with db.session() as session:
        stored = bytes(session.sql(text("select body from idempotency_key")).scalar_one())
    assert first.json()["key"].encode() not in stored
    assert forget_idempotency_keys(db) == 0
    clock.set_source(lambda: datetime.now(UTC) + timedelta(days=30, seconds=1))
    assert forget_idempotency_keys(db) == 1
    assert api.post("/v1/site/keys", **call).json()["id"] != first.json()["id"]  # type: ignore[arg-type]


def test_the_vapid_ring_keeps_former_keys(api: TestClient, site: NewSite) -> None:
    made = api.post("/v1/site/vapid-keys")
    assert made.status_code == 201
    ring = api.get("/v1/site/vapid-keys").json()["data"]
    assert [(key["public_key"], key["active"]) for key in ring] == [
        (made.json()["public_key"], True),
        (site.vapid_public_key, False),
    ]
    assert len(security.unb64url(made.json()["public_key"])) == 65
    assert api.get("/v1/site").json()["vapid_public_key"] == made.json()["public_key"]


def test_the_identity_secret_turns_with_its_rotation(api: TestClient) -> None:
    first = api.get("/v1/site/identity-secret").json()["identity_secret"]
    second = api.post("/v1/site/identity-secret/rotate").json()["identity_secret"]
    assert first != second
    assert api.get("/v1/site/identity-secret").json()["identity_secret"] == second
