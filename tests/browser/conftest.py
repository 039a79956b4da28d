"""The whole way for real: PostgreSQL, Valkey, API, worker and scheduler, a push service, a shop and a Firefox."""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from push_server.demo import data
from push_server.demo.client import Client
from push_server.demo.shop import ShopServer
from push_server.embedded.postgres import EmbeddedPostgres
from push_server.embedded.process import free_port
from push_server.embedded.valkey import EmbeddedValkey
from tests.conftest import SECRET
from tests.doubles.autopush import Autopush
from tests.doubles.firefox import Firefox, eventually

PAGE = """<!doctype html>
<html lang="hu"><meta charset="utf-8"><title>Lemezbolt</title>
<h1>Lemezbolt</h1><button id="bell">Értesítést kérek</button>
<script>
  window.homing = window.homing || [];
  window.heard = [];
  for (const name of ["prompt-shown", "prompt-accepted", "prompt-declined", "subscribed", "unsubscribed",
                      "notification-clicked"])
    homing.push(["on", name, (detail) => heard.push([name, detail])]);
</script>
<script async src="{api}/sdk.js" data-site="{key}"></script>
</html>
"""


@dataclass(frozen=True, slots=True)
class Site:
    """The running server, with one site whose shop is `shop`."""

    api: str
    shop: str
    example: str
    """The demo shop of examples/, on another of the site's origins."""
    public_key: str
    server: Client
    """With the secret key."""


@pytest.fixture(scope="package")
def autopush() -> Iterator[Autopush]:
    with Autopush() as service:
        yield service


@pytest.fixture(scope="package")
def site(postgres: EmbeddedPostgres, valkey: EmbeddedValkey, autopush: Autopush, scratch: Path) -> Iterator[Site]:
    """`homing up` on a database of its own, and a shop on another origin."""
    name, cluster = f"browser_{uuid4().hex[:8]}", postgres.url.rsplit("/", 1)[0]
    with psycopg.connect(f"{cluster}/postgres", autocommit=True) as connection:
        connection.execute(f"create database {name} template homing")
    port = free_port()
    api = f"http://127.0.0.1:{port}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HOMING_")} | {
        "HOMING_HOME": str(scratch / "browser-home"),
        "HOMING_DATABASE_URL": f"{cluster}/{name}",
        "HOMING_REDIS_URL": valkey.url.removesuffix("/0") + "/1",
        "HOMING_SECRET_KEY": SECRET,
        "HOMING_PUSH_HOSTS": autopush.origin,
    }
    homing = [sys.executable, "-m", "push_server"]
    shop_files = scratch / "shop"
    shop_files.mkdir()
    shop, example = ShopServer(shop_files), ShopServer(data.directory() / "shop")
    create = [
        *homing,
        "site",
        "create",
        "--name",
        "Lemezbolt",
        "--origin",
        shop.origin,
        "--origin",
        example.origin,
        "--json",
    ]
    keys = json.loads(subprocess.run(create, env=environment, check=True, capture_output=True, text=True).stdout)
    (shop_files / "index.html").write_text(PAGE.format(api=api, key=keys["public_key"]))
    (shop_files / "homing-sw.js").write_text(f'importScripts("{api}/sw.js");\n')
    (shop_files / "offer.html").write_text("<!doctype html><title>Ajánlat</title><h1>Ajánlat</h1>")
    for server in (shop, example):
        server.start(api, keys["public_key"])
    # `up` ends its children however it ends itself
    homing_up = subprocess.Popen([*homing, "up", "--port", str(port), "--workers", "1"], env=environment)
    try:
        eventually(lambda: _answers(f"{api}/readyz"), "the server", timeout=90)
        yield Site(api, shop.origin, example.origin, keys["public_key"], Client(api, keys["secret_key"]))
    finally:
        homing_up.terminate()
        homing_up.wait(60)
        shop.stop()
        example.stop()


@pytest.fixture(scope="package")
def firefox(autopush: Autopush, scratch: Path) -> Iterator[Firefox]:
    """One browser for all tests here: it takes seconds to start, and it ends with `site` before others begin."""
    if shutil.which("firefox-esr") is None:
        pytest.fail("firefox-esr is missing: `make browsers` installs it")
    with Firefox(scratch / "firefox", autopush.websocket_url) as browser:
        yield browser


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return response.status == 200
    except OSError:
        return False
