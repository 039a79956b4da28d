"""The site of the tests in here."""

from collections.abc import Iterator

import pytest

from push_server.db import Database
from tests.integration.audiences.shop import NOW, Api, at


@pytest.fixture
def api(db: Database) -> Iterator[Api]:
    at(NOW)
    made = Api(db)
    with made.client:
        yield made
