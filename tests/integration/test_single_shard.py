"""Planning, claiming, renewing and settling ask for one site's rows alone, so that with rows distributed by site each
statement is one node's.
"""

import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.sql import Composable

from push_server.db import Database
from push_server.delivery import send
from tests.doubles.scripted_push import Answer, ScriptedPush
from tests.integration.sending import Shop, push_service, work

_TABLES = re.compile(r"\b(?:from|join|update|into|copy)\s+(?:only\s+)?([a-z_]+)", re.IGNORECASE)
# `site_id` of whatever alias, equal to a value: a bound one, a literal, or that of another row that is asked so itself.
_OF_A_SITE = re.compile(r"\bsite_id\s*=\s*(?:%|\$|\d)|\(site_id,|\bsite\.id = %", re.IGNORECASE)
WHOLE = {"dispatch", "segment"}
"""Looked up by their ids: each node would have a copy. Members of segments are of a segment and thereby of a site."""


@pytest.fixture
def push(db: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedPush]:
    yield from push_service(monkeypatch)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every statement that this process has executed."""
    statements = list[str]()
    execute = psycopg.Cursor.execute

    def noting(self: Any, query: Any, *args: Any, **options: Any) -> Any:
        text = query.as_string(self) if isinstance(query, Composable) else query
        statements.append(text if isinstance(text, str) else text.decode())
        return execute(self, query, *args, **options)

    monkeypatch.setattr(psycopg.Cursor, "execute", noting)
    return statements


def test_what_workers_ask_is_of_one_site(
    db: Database, push: ScriptedPush, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(send, "RENEW_AFTER", 0.0)
    shop = Shop.create(db, push)
    caps = shop.api.patch("/v1/site", json={"caps": [{"limit": 5, "within": "1d"}]})
    assert caps.status_code == 200, caps.text
    names = shop.crowd(5)
    push.script["c1"].append(Answer(503))
    push.script["c2"].append(Answer(410))
    campaign = shop.start(guards={"not_bought": True}, holdout_percent=1)
    asked.clear()
    work()
    sent = [*asked]
    assert shop.states(campaign)["accepted"] >= len(names) - 3
    with db.connect() as conn:
        found = conn.execute("select table_name from information_schema.columns where column_name = 'site_id'")
        distributed = {name for (name,) in found.fetchall()} - WHOLE
    read = {
        statement: distributed.intersection(_TABLES.findall(statement))
        for statement in sent
        if "segment_member" not in statement
    }
    assert {"delivery", "subscription", "customer"} <= set().union(*read.values())
    astray = [statement for statement, tables in read.items() if tables and not _OF_A_SITE.search(statement)]
    assert not astray, "\n\n".join(astray)
