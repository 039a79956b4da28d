"""CORS: shops' pages read the browser side, each its own site's answers; nobody reads the management side."""

import pytest
from starlette.testclient import TestClient

from push_server.app import create_app
from push_server.db import Database
from push_server.sites.service import NewSite, create_site

OURS, THEIRS, NOBODYS = "https://shop.example", "https://other.example", "https://evil.example"
ALLOWED = "access-control-allow-origin"


@pytest.fixture
def site(db: Database) -> NewSite:
    with db.session() as session:
        create_site(session, "Other", [THEIRS])
    with db.session() as session:
        return create_site(session, "Shop", [OURS])


@pytest.fixture
def api(site: NewSite) -> TestClient:
    return TestClient(create_app())


def preflight(api: TestClient, path: str, origin: str, method: str = "POST"):  # type: ignore[no-untyped-def]
    return api.options(path, headers={"Origin": origin, "Access-Control-Request-Method": method})


@pytest.mark.parametrize("path", ["/v1/track", "/v1/batch", "/v1/subscriptions", "/v1/receipts"])
def test_preflight_allows_the_origins_of_sites(api: TestClient, path: str) -> None:
    answer = preflight(api, path, OURS)
    assert answer.status_code == 204
    assert answer.headers[ALLOWED] == OURS
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "authorization" in answer.headers["access-control-allow-headers"].lower()
    assert answer.headers["vary"] == "Origin"
    refused = preflight(api, path, NOBODYS)
    assert (refused.status_code, refused.json()["code"]) == (403, "origin_not_allowed")
    assert ALLOWED not in refused.headers


def test_answers_are_readable_for_the_calling_site_alone(api: TestClient, site: NewSite) -> None:
    body = {"endpoint": "https://fcm.googleapis.com/fcm/send/x", "writeKey": site.public_key}
    own = api.request("DELETE", "/v1/subscriptions", json=body, headers={"Origin": OURS})
    assert (own.status_code, own.headers[ALLOWED]) == (204, OURS)
    other = api.request("DELETE", "/v1/subscriptions", json=body, headers={"Origin": THEIRS})
    assert (other.status_code, other.json()["code"]) == (403, "origin_not_allowed")
    assert ALLOWED not in other.headers
    server = api.request("DELETE", "/v1/subscriptions", json=body)
    assert (server.status_code, server.headers["vary"]) == (204, "Origin")
    assert ALLOWED not in server.headers


def test_refusals_are_readable_too(api: TestClient) -> None:
    unknown = api.post("/v1/subscriptions", json={"writeKey": "pk_none"}, headers={"Origin": OURS})
    assert unknown.status_code in (401, 422)
    assert unknown.headers[ALLOWED] == OURS
    assert ALLOWED not in api.post("/v1/subscriptions", json={}, headers={"Origin": NOBODYS}).headers


def test_management_has_no_cors(api: TestClient, site: NewSite) -> None:
    headers = {"Origin": OURS, "Authorization": f"Bearer {site.secret_key}"}
    for path in ("/v1/products", "/v1/subscriptions", "/v1/site"):
        answer = api.get(path, headers=headers)
        assert answer.status_code == 200
        assert ALLOWED not in answer.headers
    assert preflight(api, "/v1/products", OURS, "PUT").status_code == 405
