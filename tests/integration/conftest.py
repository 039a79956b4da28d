"""What most tests of the API begin with: a shop, and its server's client."""

import pytest
from starlette.testclient import TestClient

from push_server.app import create_app
from push_server.db import Database
from push_server.sites.service import NewSite, create_site


@pytest.fixture
def site(db: Database) -> NewSite:
    with db.session() as session:
        return create_site(session, "Shop", ["https://shop.example"])


@pytest.fixture
def api(site: NewSite) -> TestClient:
    """As the shop's server calls, with the secret key."""
    return TestClient(create_app(), headers={"Authorization": f"Bearer {site.secret_key}"})
