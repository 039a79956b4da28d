"""A whole Homing to measure: embedded servers, API, scheduler and workers as `homing up` has them, with shops whose
subscribers have keys of their own, and the sink as their push service.
"""

import hashlib
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from rich.console import Console
from rich.progress import track
from rq import Worker
from sqlmodel import select

from bench.processes import family, family_cpu_us
from bench.sink import Sink, Subscriber
from push_server import security
from push_server.db import database
from push_server.demo.client import Client
from push_server.embedded.home import Home
from push_server.embedded.process import Command
from push_server.ids import uuid7
from push_server.queue import redis_client
from push_server.servers import use
from push_server.sites.models import VapidKey
from push_server.sites.service import create_site
from push_server.stack import WORKERS, Stack
from push_server.supervisor import Child

EVERYBODY = {"version": 1, "where": {"all": []}}
NOTIFICATION = {
    "title": "Your points run out on Sunday",
    "body": "240 points are worth 12 € off. Grüße from the shop at the corner, open until eight.",
    "url": "https://shop.example/points?utm_source=homing&utm_medium=web_push",
}
PATIENCE = 900.0
"""Seconds that a campaign may take before the benchmark gives up."""


@dataclass(frozen=True, slots=True)
class Shop:
    """A site with one browser a customer, and a segment of all of them."""

    site_id: int
    secret_key: str
    subscriptions: int
    segment: str


@dataclass(slots=True)
class Installation:
    """What runs."""

    stack: Stack
    sink: Sink
    browsers: list[Subscriber]
    shops: list[Shop]

    def add_worker(self) -> None:
        """One worker process more, which returns once it waits for jobs."""
        number = len(self.workers()) + 1
        command = Command([sys.executable, "-P", "-m", "push_server", "worker"])
        log = self.stack.home.log(f"worker-{number}")

        def ready() -> bool:
            return int(Worker.count(connection=redis_client())) >= number

        self.stack.supervisor.add(Child(f"worker-{number}", command, WORKERS, ready, log=log))

    def workers(self) -> list[int]:
        """Their process ids."""
        return [pid for name, pid in self.stack.supervisor.pids().items() if name.startswith("worker-")]

    def pids(self) -> list[int]:
        """Every process but this one, PostgreSQL's backends and the sink included."""
        return [pid for top in (*self.stack.supervisor.pids().values(), self.sink.pid) for pid in family(top)]

    def cpu_us(self) -> dict[str, float]:
        """CPU time so far of the workers together, of PostgreSQL, and of the others."""
        pids = self.stack.supervisor.pids() | {"sink": self.sink.pid}
        spent = {name: family_cpu_us(pid) for name, pid in pids.items()}
        workers = sum(us for name, us in spent.items() if name.startswith("worker-"))
        return {name: us for name, us in spent.items() if not name.startswith("worker-")} | {"worker": workers}

    def client(self, shop: Shop) -> Client:
        """The shop's server, as it calls the API."""
        return Client(self.stack.url, shop.secret_key)

    def draft(self, shop: Shop) -> str:
        """A campaign to everybody in the shop; its id."""
        body = {
            "name": "Campaign",
            "audience": {"include": [shop.segment]},
            "variants": [{"notification": NOTIFICATION}],
            "ttl": 3600,
        }
        return str(self.client(shop).post("/v1/campaigns", body)["id"])


@contextmanager
def installed(scratch: Path, sizes: list[int], console: Console, browsers: int | None = None) -> Iterator[Installation]:
    """Everything up but the workers, with a shop of each size (subscriptions), and as many `browsers` in the sink."""
    scratch.chmod(0o755)  # PostgreSQL runs as another user under root
    variables = {"HOMING_LOG_LEVEL": "WARNING"}
    numbers = track(range(browsers or max(sizes)), "browsers", console=console, transient=True)
    subscribers = [Subscriber(number) for number in numbers]
    with Stack(Home(scratch / "home"), port=0, workers=0, variables=variables, quiet=True) as stack:
        made = [_make_site(number) for number in range(len(sizes))]
        with Sink(scratch, subscribers, [key for *_, key in made]) as sink:
            use({"HOMING_PUSH_HOSTS": sink.http2, "SSL_CERT_FILE": str(sink.certificate)})
            installation = Installation(stack, sink, subscribers, [])
            with database().connect() as conn:
                for (site_id, secret_key, _), size in zip(made, sizes, strict=True):
                    _subscribe(conn, site_id, sink.http2, subscribers[:size])
                    installation.shops.append(Shop(site_id, secret_key, size, ""))
                conn.commit()
                conn.autocommit = True
                conn.execute("vacuum analyze customer, subscription")
            installation.shops = [_with_segment(installation, shop) for shop in installation.shops]
            yield installation


def _make_site(number: int) -> tuple[int, str, bytes]:
    with database().session() as session:
        made = create_site(session, f"Shop {number}", ["https://shop.example"], contact="mailto:operator@shop.example")
        key = session.exec(select(VapidKey)).one()
        return session.site_id, made.secret_key, key.public_key


def _subscribe(conn: psycopg.Connection[Any], site_id: int, origin: str, browsers: list[Subscriber]) -> None:
    with conn.cursor() as cursor:
        with cursor.copy("copy customer (site_id, external_id, attributes) from stdin") as copy:
            for browser in browsers:
                copy.write_row([site_id, f"c{browser.number}", '{"first_name": "Kim", "plan": "gold"}'])
        ids = dict(cursor.execute("select external_id, id from customer where site_id = %s", [site_id]).fetchall())
        found = cursor.execute("select id from vapid_key where site_id = %s", [site_id]).fetchone()
        assert found is not None
        columns = "site_id, public_id, customer_id, endpoint, endpoint_hash, p256dh, auth, vapid_key_id, state, topics"
        with cursor.copy(f"copy subscription ({columns}) from stdin") as copy:
            for browser in browsers:
                endpoint = f"{origin}/push/{browser.number}"
                copy.write_row(
                    [
                        site_id,
                        uuid7(),
                        ids[f"c{browser.number}"],
                        endpoint,
                        hashlib.sha256(endpoint.encode()).digest(),
                        browser.p256dh,
                        security.seal(browser.auth, "subscription.auth"),
                        found[0],
                        "active",
                        "{}",
                    ]
                )


def _with_segment(installation: Installation, shop: Shop) -> Shop:
    client = installation.client(shop)
    made = client.post("/v1/segments", {"name": "Everybody", "rule": EVERYBODY})
    deadline = time.monotonic() + PATIENCE
    while made["state"] != "ready":
        if time.monotonic() > deadline:
            raise RuntimeError("the members of the benchmark's segment were not found in time")
        time.sleep(0.2)
        made = client.get(f"/v1/segments/{made['id']}")
    assert made["size"] == shop.subscriptions, made
    return Shop(shop.site_id, shop.secret_key, shop.subscriptions, str(made["id"]))
