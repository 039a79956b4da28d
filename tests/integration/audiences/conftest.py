"""The site of the tests in here."""

from collections.abc import Iterator

import pytest

from push_server.audiences import service
from push_server.db import Database
from tests.integration.audiences.shop import NOW, Api, at


@pytest.fixture
def api(db: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """However slow the machine is, members are found at once where a test does not say otherwise."""
    monkeypatch.setattr(service, "AT_ONCE", 9)
    at(NOW)
    made = Api(db)
    with made.client:
        yield made
