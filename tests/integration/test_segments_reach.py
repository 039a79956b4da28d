"""Rules over what became of a real campaign's messages."""

from collections.abc import Iterator

import pytest

from push_server.db import Database
from push_server.sites.service import create_site
from tests.doubles.scripted_push import ScriptedPush
from tests.integration.sending import Shop, push_service


@pytest.fixture
def push(db: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedPush]:
    yield from push_service(monkeypatch)


@pytest.fixture
def shop(db: Database, push: ScriptedPush) -> Shop:
    return Shop.create(db, push)


def test_what_a_real_campaign_did_makes_members(shop: Shop) -> None:
    shop.customer("ada", "ada")
    shop.customer("bob")
    campaign = shop.send()
    accepted = {"message": {"campaign": campaign.upper(), "outcome": "accepted", "within": "1h"}}
    body = {"name": "Sent to", "rule": {"version": 1, "where": accepted}}
    made = shop.api.post("/v1/segments", json=body)
    assert made.status_code == 201, made.text
    assert made.json()["sentence"] == "Customers to whom the campaign “A campaign” was sent in the last 1 hour."
    members = shop.api.get(f"/v1/segments/{made.json()['id']}/members").json()["data"]
    assert [member["external_id"] for member in members] == ["ada"]
    with shop.db.session() as session:
        other = create_site(session, "Other", ["https://other.example"])
    shop.api.headers["Authorization"] = f"Bearer {other.secret_key}"
    refused = shop.api.post("/v1/segments", json=body)
    assert refused.status_code == 422
    fault = refused.json()["errors"][0]
    assert (fault["path"], fault["code"]) == ("$.rule.where.message.campaign", "unknown_campaign")
