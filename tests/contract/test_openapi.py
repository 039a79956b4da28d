"""The OpenAPI document against the server: what fits it and what nearly does, never a 5xx, and answers as declared."""

from base64 import b64encode
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings, strategies
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from push_server.app import create_app
from push_server.cors import BROWSER_PATHS
from push_server.db import Database
from push_server.sites.service import NewSite, create_site

EXAMPLES = 12
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture
def shop(db: Database) -> NewSite:
    with db.session() as session:
        return create_site(session, "Shop", ["https://shop.example"])


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(data=strategies.data())
def conforms(operation: Any, mode: GenerationMode, key: str, data: Any) -> None:
    case = data.draw(operation.as_strategy(generation_mode=mode))
    case.call_and_validate(headers={"Authorization": key}, checks=CHECKS)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_answers_keep_to_the_document(mode: GenerationMode, shop: NewSite) -> None:
    basic = b64encode(f"{shop.public_key}:".encode()).decode()
    wrong = []
    for found in schemathesis.openapi.from_asgi("/openapi.json", create_app()).get_all_operations():
        operation = found.ok()
        browser = operation.method.upper() in BROWSER_PATHS.get(operation.path, frozenset())
        if operation.path == "/readyz":  # 503 without workers, as it should
            continue
        try:
            conforms(operation, mode, f"Basic {basic}" if browser else f"Bearer {shop.secret_key}")
        except Unsatisfiable:  # nothing to get wrong about it
            continue
        except Exception as error:
            wrong.append(f"{operation.label}: {error}")
    assert not wrong, "\n\n".join(["", *wrong])
