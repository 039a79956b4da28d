"""Campaigns over HTTP/2: its faults cost no browser its message, and connections outlive jobs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from push_server.db import Database
from push_server.delivery.send import push_client
from push_server.settings import settings
from tests.doubles.http2_push import NOT_TAKEN, TAKEN, Http2Push
from tests.faults.verdict import judge
from tests.integration.sending import NOTIFICATION, Shop


@pytest.fixture
def push(db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Http2Push]:
    with Http2Push(tmp_path) as service:
        monkeypatch.setenv("HOMING_PUSH_HOSTS", service.origin)
        monkeypatch.setenv("SSL_CERT_FILE", str(service.ca_file))
        monkeypatch.setenv("HOMING_CHUNK_SIZE", "5")
        settings.cache_clear()
        push_client.cache_clear()
        yield service
        push_client().close()
        push_client.cache_clear()


@pytest.fixture
def shop(db: Database, push: Http2Push) -> Shop:
    return Shop.create(db, push)


def test_connections_outlive_jobs(shop: Shop, push: Http2Push) -> None:
    crowd = shop.crowd(20)
    for title in ("One", "Two"):
        judge(shop, shop.send({**NOTIFICATION, "title": title}), title, crowd)
    assert len(push.received) == 40
    assert push.connections == 1


def test_faults_of_http_2_cost_nobody_his_message(shop: Shop, push: Http2Push) -> None:
    """Each once, among others that share its connection; what was taken before it comes again, and replaces itself."""
    faults = sorted({*NOT_TAKEN, *TAKEN})
    crowd = shop.crowd(len(faults) * 2)
    for token, fault in zip(crowd, faults, strict=False):
        push.script[token].append(f"{fault}/{token}" if fault == "/refuse" else fault)
    judge(shop, shop.send({**NOTIFICATION, "title": "Sale"}), "Sale", crowd)
    assert not any(push.script.values())
    assert max(push.shown().values()) > 1
