"""A shop that posts events, and a look into the database behind it."""

import json
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from push_server import clock
from push_server.app import create_app
from push_server.db import Database
from push_server.sites.models import Site
from push_server.sites.service import create_site

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass
class Shop:
    """A site, a client to talk to it with, and a look into the database behind it."""

    client: TestClient
    db: Database
    site_id: int
    public_key: str
    secret_key: str

    def post(self, kind: str, body: Any, key: str | None = None, **headers: str) -> httpx.Response:
        basic = b64encode(f"{key or self.public_key}:".encode()).decode()
        content = body if isinstance(body, bytes) else json.dumps(body)
        return self.client.post(f"/v1/{kind}", content=content, headers={"Authorization": f"Basic {basic}", **headers})

    def send(self, kind: str, body: dict[str, Any]) -> None:
        answer = self.post(kind, body)
        assert (answer.status_code, answer.json()) == (200, {"success": True}), answer.text

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with self.db.connect() as conn:
            return conn.execute(query, values).fetchall()

    def events(self) -> list[tuple[Any, ...]]:
        """Name, external id, anonymous id of each event, in the order of arrival."""
        return self.rows(
            "select t.text, c.external_id, c.anonymous_id from event e join term t on t.id = e.kind_id"
            " join customer c on c.id = e.customer_id order by e.seq"
        )

    def configure(self, **columns: Any) -> None:
        with self.db.session() as session:
            site = session.get(Site, self.site_id)
            assert site is not None
            for name, value in columns.items():
                setattr(site, name, value)


@pytest.fixture
def shop(db: Database) -> Iterator[Shop]:
    clock.set_source(lambda: NOW)
    with db.session() as session:
        new = create_site(session, "Shop", ["https://shop.example"])
        site_id = session.site_id
    with TestClient(create_app(), raise_server_exceptions=False) as client:
        yield Shop(client, db, site_id, new.public_key, new.secret_key)


@contextmanager
def second_application() -> Iterator[TestClient]:
    """Another application on the same database, with a writer of its own, as in another process."""
    with TestClient(create_app(), raise_server_exceptions=False) as client:
        yield client
