"""A shop with customers and browsers, and what moves its campaigns along, for the tests of sending."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rq import SimpleWorker
from rq.serializers import JSONSerializer
from sqlmodel import select
from starlette.testclient import TestClient

from push_server import clock, queue
from push_server.app import create_app
from push_server.audiences.models import Segment
from push_server.campaigns.service import finish
from push_server.campaigns.starts import pause_stuck, start_due
from push_server.customers.identity import resolve_customer
from push_server.customers.models import Customer
from push_server.db import Database
from push_server.delivery.control import end_cancelled
from push_server.delivery.send import push_client
from push_server.delivery.sweep import sweep
from push_server.settings import settings
from push_server.sites.service import NewSite, create_site
from push_server.subscriptions import service as subscriptions
from push_server.subscriptions.shapes import PushSubscription
from tests.doubles.arrivals import Arrivals
from tests.doubles.scripted_push import ScriptedPush

EVERYBODY = {"version": 1, "where": {"all": []}}
NOTIFICATION = {"title": "Sale", "body": "Today", "url": "https://shop.example/sale"}


@dataclass
class Shop:
    """One site, its secret key's client, and a push service for its customers' browsers."""

    db: Database
    push: Any
    site: NewSite
    site_id: int
    api: TestClient
    segment: str

    @classmethod
    def create(cls, db: Database, push: Arrivals, connect: Callable[[NewSite], Any] | None = None) -> "Shop":
        """A shop with a segment of everybody. `connect`: its client, where it is none of this process's own."""
        with db.session() as session:
            site = create_site(session, "Shop", ["https://shop.example"])
            segment = Segment(name="Everybody", rule=EVERYBODY)
            session.add(segment)
            session.flush()
            api = (connect or in_process)(site)
            return cls(db, push, site, session.site_id, api, str(segment.public_id))

    def customer(self, external_id: str, *tokens: str, **attributes: object) -> int:
        """A customer with a browser for each token."""
        with self.db.session(site_id=self.site_id) as session:
            customer_id = resolve_customer(session.raw, self.site_id, external_id, None)
            session.exec(select(Customer).where(Customer.id == customer_id)).one().attributes = attributes
            for token in tokens:
                browser = self.push.browser(token, self.site.vapid_public_key)
                given = PushSubscription.model_validate(browser.subscription(self.push.origin))
                subscriptions.subscribe(
                    session,
                    subscriptions.OptIn(
                        endpoint=given.endpoint,
                        p256dh=given.keys.p256dh,
                        auth=given.keys.auth,
                        external_id=external_id,
                        anonymous_id=None,
                    ),
                )
        return customer_id

    def crowd(self, count: int, initial: str = "c") -> list[str]:
        """Customers c0, c1, … with one browser each, of that name."""
        names = [f"{initial}{number}" for number in range(count)]
        for name in names:
            self.customer(name, name)
        return names

    def draft(self, notification: dict[str, Any] | None = None, **more: Any) -> str:
        """A campaign to everybody; its id."""
        body = {
            "name": "A campaign",
            "audience": {"include": [self.segment]},
            "variants": [{"notification": notification or NOTIFICATION}],
            **more,
        }
        answer = self.api.post("/v1/campaigns", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def start(self, notification: dict[str, Any] | None = None, **more: Any) -> str:
        """A campaign that is being sent, though no worker has run yet."""
        campaign = self.draft(notification, **more)
        answer = self.api.post(f"/v1/campaigns/{campaign}/send")
        assert answer.status_code == 202, answer.text
        return campaign

    def do(self, campaign: str, action: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """What `pause`, `schedule` … make of it."""
        answer = self.api.post(f"/v1/campaigns/{campaign}/{action}", json=body)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def refused(self, campaign: str, action: str, body: dict[str, Any] | None = None) -> tuple[int, str]:
        """Status and code of an action that cannot be."""
        answer = self.api.post(f"/v1/campaigns/{campaign}/{action}", json=body)
        assert answer.status_code >= 400, answer.text
        return answer.status_code, str(answer.json()["code"])

    def report(self, campaign: str) -> dict[str, Any]:
        """Its report, whose sums must hold whenever one looks."""
        answer = self.api.get(f"/v1/campaigns/{campaign}/report")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        assert sum(found["states"].values()) == found["audience"]
        assert sum(variant["audience"] for variant in found["variants"]) == found["audience"]
        return found

    def states(self, campaign: str) -> dict[str, int]:
        """The states that occur."""
        return {state: count for state, count in self.report(campaign)["states"].items() if count}

    def deliveries(self, campaign: str, query: str = "") -> list[dict[str, Any]]:
        """Its deliveries."""
        answer = self.api.get(f"/v1/campaigns/{campaign}/deliveries{query}")
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["data"]
        return found

    def state(self, campaign: str) -> str:
        """Where the campaign is."""
        return str(self.api.get(f"/v1/campaigns/{campaign}").json()["state"])

    def send(self, notification: dict[str, Any] | None = None, **more: Any) -> str:
        """A campaign sent to its end, retries included."""
        campaign = self.start(notification, **more)
        self.work_until(lambda: self.state(campaign) == "sent")
        return campaign

    def work_until(self, done: Callable[[], bool], turns: int = 60) -> None:
        """Work the queues off and sweep, the clock moving on by two seconds a turn."""
        for _ in range(turns):
            work()
            tick(self.db)
            if done():
                return
            later(2)
        raise AssertionError("not done after all turns")


def in_process(site: NewSite) -> TestClient:
    """The site's server, calling an API of this process."""
    return TestClient(create_app(), headers={"Authorization": f"Bearer {site.secret_key}"})


def push_service(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedPush]:
    """The body of a fixture: a push service that this process and its children may post to."""
    with ScriptedPush() as service:
        monkeypatch.setenv("HOMING_PUSH_HOSTS", service.origin)
        monkeypatch.setenv("HOMING_PUBLIC_URL", "https://push.example")
        settings.cache_clear()
        yield service
    push_client().close()
    push_client.cache_clear()


class _Worker(SimpleWorker):
    """Without RQ's channel for commands, which nobody sends here: leaving it takes up to a second."""

    def subscribe(self) -> None: ...
    def unsubscribe(self) -> None: ...


def work(*names: str) -> None:
    """Run the waiting jobs, here."""
    queues = [queue.rq_queue(name) for name in names or queue.QUEUES]
    _Worker(queues, connection=queue.redis_client(), serializer=JSONSerializer).work(
        burst=True, logging_level="WARNING"
    )


def tick(db: Database) -> None:
    """What the scheduler repeats."""
    start_due(db)
    pause_stuck(db)
    end_cancelled(db)
    sweep(db)
    finish(db)


def lose_redis() -> None:
    """Everything that Redis held is gone."""
    queue.redis_client().flushall()


def later(seconds: float) -> None:
    """Move the clock on."""
    ahead = clock.now() - datetime.now(UTC) + timedelta(seconds=seconds)
    clock.set_source(lambda: datetime.now(UTC) + ahead)


def stand(seconds: float = 0) -> None:
    """Move the clock on, and let it stand there."""
    now = clock.now() + timedelta(seconds=seconds)
    clock.set_source(lambda: now)
