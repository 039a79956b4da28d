"""The examples of docs/api.md, campaigns.md, loyalty.md and segments.md, run in their order against the server."""

import hmac
import json
import re
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from push_server import clock, security
from push_server.app import create_app
from push_server.db import Database
from push_server.sites.service import create_site

DOCS = Path(__file__).parents[2] / "docs"
ANYTHING = "…"
TIMED = ("campaigns.md", "segments.md")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)  # the clock of the pages that are TIMED: a minute goes by with each example


def blocks(page: str) -> list[tuple[str, str]]:
    """Language and text of each fenced block of a page."""
    return re.findall(r"^```(\w+)\n(.*?)^```", (DOCS / page).read_text(), re.S | re.M)


def fits(told: Any, documented: Any) -> bool:
    """Whether an answer is as documented, where … stands for any text or number, and as a name for more of them."""
    if documented == ANYTHING:
        return isinstance(told, str | int) and told != ""
    if isinstance(documented, dict):
        named = documented.keys() - {ANYTHING}
        return (
            isinstance(told, dict)
            and (named < told.keys() if ANYTHING in documented else named == told.keys())
            and all(fits(told[key], documented[key]) for key in named)
        )
    if isinstance(documented, list):
        return isinstance(told, list) and len(told) == len(documented) and all(map(fits, told, documented))
    return bool(told == documented)


@pytest.mark.parametrize(
    ("page", "fewest"), [("api.md", 20), ("campaigns.md", 16), ("loyalty.md", 8), ("segments.md", 20)]
)
def test_every_example_answers_as_documented(db: Database, page: str, fewest: int) -> None:
    with db.session() as session:
        site = create_site(session, "Shop", ["https://shop.example"])
    basic = b64encode(f"{site.public_key}:".encode()).decode()
    client = TestClient(create_app())
    examples = [block for kind, block in blocks(page) if kind == "http"]
    assert len(examples) % 2 == 0
    assert len(examples) >= fewest
    made: dict[str, str] = {}  # ids of segments and campaigns by their placeholders
    for minute, (request, response) in enumerate(zip(examples[::2], examples[1::2], strict=True)):
        if page in TIMED:
            clock.set_source(partial(NOON.__add__, timedelta(minutes=minute)))
        for placeholder, id in made.items():
            request = request.replace(placeholder, id)
        head, _, body = request.partition("\n\n")
        line, *lines = head.replace("Bearer sk_…", f"Bearer {site.secret_key}").replace("pk_…", basic).splitlines()
        method, path = line.split(" ")
        headers = dict(line.split(": ", 1) for line in lines)
        content = {"content": body.encode(), "headers": {**headers, "Content-Type": "application/json"}}
        answer = client.request(method, path, **(content if body else {"headers": headers}))  # type: ignore[arg-type]
        status, _, documented = response.partition("\n\n")
        assert answer.status_code == int(status), f"{line}: {answer.text}"
        if (method, path) == ("POST", "/v1/segments"):
            segment = answer.json()
            made |= {"{segment}": segment["id"], f"{{{segment['name'].lower()}}}": segment["id"]}
        if (method, path) == ("POST", "/v1/campaigns"):
            made["{campaign}"] = answer.json()["id"]
        if documented and answer.headers["Content-Type"].startswith("text/csv"):
            assert answer.text.splitlines() == documented.splitlines()
        elif documented:
            assert fits(answer.json(), json.loads(documented)), f"{line}: {answer.text}"


def test_the_documented_user_hash_is_the_servers() -> None:
    (code,) = [block for kind, block in blocks("api.md") if kind == "python"]
    names: dict[str, Any] = {}
    exec(code, names)
    assert hmac.compare_digest(names["user_hash"]("ab12", "ő-17"), security.user_hash(b"ab12", "ő-17"))
