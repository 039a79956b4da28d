"""A site as its server sees it, at an instant that stands still: what tests of segments begin with."""

from datetime import UTC, datetime
from typing import Any

from starlette.testclient import TestClient

from push_server import clock
from push_server.app import create_app
from push_server.db import Database
from push_server.sites.service import create_site

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ORDER = {"event": "Order Completed"}
EVERYONE: dict[str, Any] = {"all": []}


def at(instant: datetime) -> None:
    clock.set_source(lambda: instant)


def rule(node: Any) -> dict[str, Any]:
    return {"version": 1, "where": node}


class Api:
    """A site's management side, and its time."""

    def __init__(self, db: Database, name: str = "Shop") -> None:
        with db.session() as session:
            self.site = create_site(session, name, ["https://shop.example"])
            self.site_id = session.site_id
        self.client = TestClient(create_app(), raise_server_exceptions=False)
        self.client.headers["Authorization"] = f"Bearer {self.site.secret_key}"

    def call(self, method: str, path: str, status: int = 200, **more: Any) -> Any:
        answer = self.client.request(method, path, **more)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def segment(self, name: str, node: Any, status: int = 201) -> dict[str, Any]:
        made: dict[str, Any] = self.call("POST", "/v1/segments", status, json={"name": name, "rule": rule(node)})
        return made

    def estimate(self, node: Any, **more: Any) -> dict[str, Any]:
        made: dict[str, Any] = self.call("POST", "/v1/segments/estimate", json={"rule": rule(node), **more})
        return made

    def members(self, id: str) -> dict[str, str]:
        """external id → since."""
        page = self.call("GET", f"/v1/segments/{id}/members", params={"limit": 1000})
        assert page["next_cursor"] is None
        return {row["external_id"]: row["since"] for row in page["data"]}

    def customers(self, *ids: str, **attributes: Any) -> None:
        for id in ids:
            assert self.client.put(f"/v1/customers/{id}", json={"attributes": attributes}).is_success

    def order(self, customer: str, at: datetime = NOW, **properties: Any) -> None:
        properties.setdefault("order_id", f"{customer}-{at.isoformat()}")
        event = {"userId": customer, "timestamp": at.isoformat(), "properties": properties}
        self.call("POST", "/v1/track", json={**ORDER, **event})
