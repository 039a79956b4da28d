"""Every path with an id answers 404 for another site's object, and leaves it as it is."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from push_server.app import create_app
from push_server.db import Database
from push_server.sites.service import create_site

# A good body for each call that wants one, so that nothing but the object's owner can be the reason to refuse.
BODIES: dict[tuple[str, str], Any] = {
    ("PATCH", "/v1/segments/{segment_id}"): {"name": "Mine now"},
    ("POST", "/v1/segments/{segment_id}/diff"): {"rule": {"version": 1, "where": {"all": []}}},
    ("POST", "/v1/campaigns/{campaign_id}/test"): {"customer": "u1"},
    ("PATCH", "/v1/campaigns/{campaign_id}"): {"name": "Mine now"},
}
# Addressed by the shop's own id, so that it makes a customer of its own site.
OWN = {("PUT", "/v1/customers/{external_id}")}


def client(db: Database, name: str) -> TestClient:
    with db.session() as session:
        key = create_site(session, name, [f"https://{name}.example"]).secret_key
    return TestClient(create_app(), headers={"Authorization": f"Bearer {key}"})


@pytest.fixture
def ids(owner: TestClient) -> dict[str, str]:
    """One object of the owner for each kind of id."""

    def make(method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = owner.request(method, path, json=body)
        assert answer.status_code in (200, 201), answer.text
        made: dict[str, Any] = answer.json()
        return made

    make("PUT", "/v1/customers/u1", {"attributes": {"a": 1}})
    make("PUT", "/v1/products", {"products": [{"product_id": "p1"}]})
    key = make("POST", "/v1/site/keys", {"name": "second", "scopes": ["site:read"]})
    segment = make("POST", "/v1/segments", {"name": "All", "rule": {"version": 1, "where": {"all": []}}})
    notification = {"title": "Hi", "url": "https://owner.example"}
    document = {"name": "C", "audience": {"include": [segment["id"]]}, "variants": [{"notification": notification}]}
    return {
        "external_id": "u1",
        "product_id": "p1",
        "key_id": key["id"],
        "public_key": owner.get("/v1/site/vapid-keys").json()["data"][0]["public_key"],
        "segment_id": segment["id"],
        "campaign_id": make("POST", "/v1/campaigns", document)["id"],
    }


@pytest.fixture
def owner(db: Database) -> TestClient:
    return client(db, "owner")


def test_another_sites_objects_are_not_there(db: Database, owner: TestClient, ids: dict[str, str]) -> None:
    stranger = client(db, "stranger")
    reads = [path for path, calls in create_app().openapi()["paths"].items() if "{" in path and "get" in calls]
    before = {path: owner.get(path.format(**ids)).json() for path in reads}
    wrong = []
    for path, calls in create_app().openapi()["paths"].items():
        for method in map(str.upper, calls):
            if "{" not in path or (method, path) in OWN:
                continue
            answer = stranger.request(method, path.format(**ids), json=BODIES.get((method, path)))
            if answer.status_code != 404:
                wrong.append(f"{method} {path} → {answer.status_code} {answer.text[:200]}")
    assert not wrong, "\n".join(["", *wrong])
    assert {path: owner.get(path.format(**ids)).json()["data"] for path in reads if "data" in before[path]} == {
        path: told["data"] for path, told in before.items() if "data" in told
    }
    for path in ("/v1/segments/{segment_id}", "/v1/campaigns/{campaign_id}"):
        assert owner.get(path.format(**ids)).status_code == 200


def test_a_campaign_cannot_be_for_another_sites_segment(db: Database, ids: dict[str, str]) -> None:
    notification = {"title": "Hi", "url": "https://owner.example"}
    document = {
        "name": "C",
        "audience": {"include": [ids["segment_id"]]},
        "variants": [{"notification": notification}],
    }
    stranger = client(db, "stranger")
    assert stranger.post("/v1/campaigns", json=document).json()["code"] == "unknown_segment"
    rule = {"version": 1, "where": {"segment": ids["segment_id"]}}
    assert stranger.post("/v1/segments", json={"name": "S", "rule": rule}).json()["code"] == "invalid_rule"
