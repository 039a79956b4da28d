"""Bad requests to every path: a 4xx with problem details and its stable code, never a 5xx."""

import json
from base64 import b64encode
from typing import Any

import pytest
from starlette.testclient import TestClient

from push_server.app import create_app
from push_server.db import Database
from push_server.http import PROBLEM
from push_server.sites.service import NewSite, create_site
from tests.contract import bad_browser, bad_loyalty, bad_management, bad_planning
from tests.contract.bad import Bad

TABLE = {
    "keys": bad_browser.KEYS,
    "subscriptions": bad_browser.SUBSCRIPTIONS,
    "events": bad_browser.EVENTS,
    "customers": bad_management.CUSTOMERS,
    "products": bad_management.PRODUCTS,
    "loyalty": bad_loyalty.LOYALTY,
    "site": bad_management.SITES,
    "segments": bad_management.SEGMENTS,
    "planning": bad_planning.PLANNING,
    "campaigns": bad_management.CAMPAIGNS,
    "push services": bad_management.PUSH_SERVICES,
}


@pytest.fixture
def shop(db: Database) -> NewSite:
    with db.session() as session:
        return create_site(session, "Shop", ["https://shop.example"])


def send(client: TestClient, shop: NewSite, bad: Bad) -> Any:
    basic = b64encode(f"{shop.public_key}:".encode()).decode()
    keys = {"secret": f"Bearer {shop.secret_key}", "public": f"Basic {basic}"}
    headers: dict[str, Any] = {"Content-Type": "application/json", **bad.headers}
    if bad.key is not None:
        headers["Authorization"] = keys.get(bad.key, bad.key).encode("latin-1")
    body = bad.raw if bad.raw is not None or bad.json is None else json.dumps(bad.json).encode()
    return client.request(bad.method, bad.path, content=body, headers=headers)


@pytest.mark.parametrize("group", TABLE)
def test_bad_requests_are_refused_with_their_code(group: str, shop: NewSite) -> None:
    wrong = []
    with TestClient(create_app(), raise_server_exceptions=False) as client:
        for bad in TABLE[group]:
            answer = send(client, shop, bad)
            told = answer.json() if answer.headers.get("content-type") == PROBLEM else {}
            paths = [fault["path"] for fault in told.get("errors", [])]
            if (answer.status_code, told.get("code")) != (bad.status, bad.code) or (
                bad.fault and bad.fault not in paths
            ):
                wrong.append(f"{bad} → {answer.status_code} {answer.text[:300]}")
            elif not (told["title"] and told["detail"] and told["status"] == bad.status):
                wrong.append(f"{bad} → incomplete: {told}")
    assert not wrong, "\n".join(["", *wrong])
