"""What the demo plays on: all of Homing on this machine, the sandbox push service, the shop, and a site with its keys.

A home that is kept (without --once) keeps the site too, so that a browser that opted in at the demo shop is still
subscribed the next time; after FRESH_FOR its purchases are no longer of today, and a new site takes its place.
"""

import json
import os
import shutil
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy.exc import DBAPIError
from sqlmodel import select

import push_server.tables  # noqa: F401 - foreign keys resolve only once every table is known
from push_server import clock
from push_server.db import database
from push_server.demo import data
from push_server.demo.shop import ShopServer
from push_server.demo.story import Shop
from push_server.embedded.home import Home
from push_server.embedded.process import Command, free_port
from push_server.settings import settings
from push_server.sites.models import Site
from push_server.sites.service import create_site
from push_server.stack import Stack
from push_server.supervisor import Child

FRESH_FOR = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class Saved:
    """What a later run on the same home takes up again."""

    keys: dict[str, str]
    anchor: str
    push_service: str
    shop_port: int


@contextmanager
def stage(*, once: bool, port: int, shop_port: int, workers: int) -> Iterator[tuple[Shop, datetime]]:
    """Everything up; the shop, and the instant to which its purchases are moved. Afterwards nothing is left running."""
    with ExitStack() as undo:
        home = undo.enter_context(_home(once))
        saved = _saved(home)
        push_service = saved.push_service if saved else f"http://127.0.0.1:{free_port()}"
        server = ShopServer(data.directory() / "shop", shop_port or (saved.shop_port if saved else 0))
        undo.callback(server.stop)
        hosts = " ".join([*settings().push_hosts, push_service])
        stack = Stack(home, port=port, workers=workers, variables={"HOMING_PUSH_HOSTS": hosts}, quiet=True)
        undo.enter_context(stack)
        journal = home.path("demo", "push_service.jsonl")
        stack.supervisor.add(_sandbox(push_service, journal, home))
        if saved is None or not _known(saved.keys["public_key"]):
            port_of_shop = int(server.origin.rpartition(":")[2])
            anchor = clock.now().replace(microsecond=0).isoformat()
            saved = Saved(_create_site(server.origin), anchor, push_service, port_of_shop)
            _save(home, saved)
        server.start(stack.url, saved.keys["public_key"])
        shop = Shop(stack.url, push_service, server.origin, journal=journal, **saved.keys)
        yield shop, datetime.fromisoformat(saved.anchor)


@contextmanager
def _home(once: bool) -> Iterator[Home]:
    """A fresh one that vanishes, with --once; else HOMING_HOME, or .homing/demo here."""
    if not once:
        yield Home(settings().home if "HOMING_HOME" in os.environ else Path(".homing/demo"))
        return
    directory = Path(tempfile.mkdtemp(prefix="homing-demo-"))
    directory.chmod(0o711)  # PostgreSQL is another user under root
    try:
        yield Home(directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _sandbox(origin: str, journal: Path, home: Home) -> Child:
    port = origin.rpartition(":")[2]
    argv = [sys.executable, "-P", "-m", "push_server.demo.sandbox", "--port", port, "--journal", str(journal)]

    def ready() -> bool:
        try:
            with urllib.request.urlopen(f"{origin}/healthz", timeout=2) as response:  # noqa: S310 - our own child
                return bool(response.status == 200)
        except OSError:
            return False

    return Child("sandbox", Command(argv), stage=1, ready=ready, log=home.log("sandbox"))


def _create_site(origin: str) -> dict[str, str]:
    """The site's keys; while the database is being started again, it is tried again."""
    deadline = time.monotonic() + 30
    while True:
        try:
            with database().session() as session:
                made = asdict(create_site(session, "Lanternfish Records", [origin], data.ZONE, "USD"))
        except DBAPIError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            del made["site_id"]
            return made


def _known(public_key: str) -> bool:
    with database().session() as session:
        return session.exec(select(Site).where(Site.public_key == public_key)).first() is not None


def _saved(home: Home) -> Saved | None:
    try:
        saved = Saved(**json.loads(home.path("demo", "shop.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return saved if clock.now() - datetime.fromisoformat(saved.anchor) < FRESH_FOR else None


def _save(home: Home, saved: Saved) -> None:
    path = home.path("demo", "shop.json")
    path.parent.mkdir(exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps(asdict(saved), indent=2))
