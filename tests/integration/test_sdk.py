"""What a shop's page loads: /sdk.js, /sw.js and /v1/sdk/config."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from push_server.app import create_app
from push_server.db import Database
from push_server.sites.models import Site
from push_server.sites.service import NewSite, create_site

SHOP = "https://shop.example"


@pytest.fixture
def site(db: Database) -> NewSite:
    with db.session() as session:
        return create_site(session, "Paws & Co", [SHOP])


@pytest.fixture
def client(db: Database) -> Iterator[TestClient]:
    with TestClient(create_app(), raise_server_exceptions=False) as client:
        yield client


@pytest.mark.parametrize("path", ["/sdk.js", "/sw.js"])
def test_a_script_loads_on_any_site_once_until_it_changes(client: TestClient, path: str) -> None:
    first = client.get(path, headers={"Accept-Encoding": "gzip"})
    assert first.status_code == 200
    assert first.headers["content-type"] == "text/javascript; charset=utf-8"
    assert first.headers["cross-origin-resource-policy"] == "cross-origin"
    assert first.headers["access-control-allow-origin"] == "*"
    assert first.headers["content-encoding"] == "gzip"
    assert first.headers["vary"] == "Accept-Encoding"
    assert "public" in first.headers["cache-control"]
    assert int(first.headers["cache-control"].partition("max-age=")[2].partition(",")[0]) >= 3600
    etag = first.headers["etag"]
    assert not etag.startswith("W/")
    again = client.get(path, headers={"Accept-Encoding": "gzip", "If-None-Match": etag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    plain = client.get(path, headers={"Accept-Encoding": "identity", "If-None-Match": etag})
    assert plain.status_code == 200, "another coding is another representation"
    assert plain.headers["etag"] != etag
    assert plain.content == first.content  # the client unpacks
    head = client.head(path, headers={"Accept-Encoding": "gzip"})
    assert (head.status_code, head.headers["etag"], head.content) == (200, etag, b"")


def test_the_configuration_says_what_the_page_must_know(client: TestClient, site: NewSite) -> None:
    answer = client.get("/v1/sdk/config", params={"key": site.public_key}, headers={"Origin": SHOP})
    assert answer.status_code == 200
    body = answer.json()
    assert body["site"] == "Paws & Co"
    assert body["vapid_public_key"] == site.vapid_public_key
    assert body["identity_verification"] is False
    assert all(body["prompt"][name] for name in ("title", "body", "accept", "decline"))
    assert answer.headers["access-control-allow-origin"] == SHOP
    assert "Origin" in answer.headers["vary"]
    assert "max-age=" in answer.headers["cache-control"]
    headers = {"Origin": SHOP, "If-None-Match": answer.headers["etag"]}
    again = client.get("/v1/sdk/config", params={"key": site.public_key}, headers=headers)
    assert again.status_code == 304
    assert again.headers["access-control-allow-origin"] == SHOP


def test_the_shops_own_words_replace_ours(client: TestClient, site: NewSite, db: Database) -> None:
    def configuration() -> dict[str, dict[str, str]]:
        answer = client.get("/v1/sdk/config", params={"key": site.public_key})
        body: dict[str, dict[str, str]] = answer.json()
        return body

    ours = configuration()["prompt"]
    with db.session() as session:
        found = session.get(Site, 1) or pytest.fail("no site")
        odd = {"title": "<b>Leárazás</b>", "body": None, "accept": 7, "more": "x"}
        found.settings = {"prompt": odd, "topics": ["sales", 3]}
        session.add(found)
    changed = configuration()
    assert changed["prompt"] == {**ours, "title": "<b>Leárazás</b>"}  # plain text: the page never reads it as HTML
    assert changed["topics"] == ["sales"]


@pytest.mark.parametrize(
    ("query", "origin", "status", "code"),
    [
        ("?key=pk_unknown", SHOP, 401, "unknown_key"),
        ("?key=", SHOP, 401, "no_key"),
        ("?key=%00", SHOP, 422, "unstorable_value"),
        ("?key=" + "x" * 300, SHOP, 422, "invalid"),
        ("", SHOP, 422, "invalid"),
        ("?key={key}", "https://thief.example", 403, "origin_not_allowed"),
    ],
)
def test_refusals_are_problems(
    client: TestClient, site: NewSite, query: str, origin: str, status: int, code: str
) -> None:
    answer = client.get("/v1/sdk/config" + query.replace("{key}", site.public_key), headers={"Origin": origin})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers.get("cache-control") != "public, max-age=60"
