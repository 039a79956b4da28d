"""The demo's story, told to a server over its API: load the shop, make segments, send campaigns, watch them arrive.

Each step may be repeated or cut short by a restart of anything: what it sends is known by ids of its own.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from push_server import clock
from push_server.demo import journal
from push_server.demo.browsers import Browser
from push_server.demo.catalogue import RECORDS
from push_server.demo.client import Client
from push_server.demo.data import ZONE, Person, Purchases
from push_server.demo.points import rows
from push_server.demo.segments import Telling
from push_server.security import b64url

T = TypeVar("T")
Advance = Callable[[int], None]

EVENTS_A_BATCH = 250
BROWSERS_A_CALL = 500
POINTS_A_CALL = 500
RECEIPTS_A_CALL = 100
OPEN_STATES = ("queued", "sending", "retry")
STALLED_AFTER = 150.0  # seconds without any change; a lost process is back, and its work sent again, within 60


@dataclass(frozen=True, slots=True)
class Shop:
    """Where everything is, and the site's keys."""

    api: str
    push_service: str
    url: str
    public_key: str
    secret_key: str
    vapid_public_key: str
    journal: Path


@dataclass(slots=True)
class Sent:
    """One telling segment as the server has it, and its campaign."""

    telling: Telling
    segment_id: str
    size: int = 0
    reachable: int = 0
    took_ms: float = 0.0
    campaign_id: str = ""
    report: dict[str, Any] = field(default_factory=dict)


class Story:
    """One run. `run_id` tells its campaigns from those of earlier runs on the same home."""

    def __init__(self, shop: Shop, purchases: Purchases, run_id: str) -> None:
        self.shop, self.purchases, self.run_id = shop, purchases, run_id
        self.server = Client(shop.api, shop.secret_key)
        self.browser_side = Client(shop.api, shop.public_key, browser_origin=shop.url)
        self.push_service = Client(shop.push_service)
        self.owner: dict[str, str] = {}  # token → customer

    def load_catalogue(self) -> int:
        """The products."""
        self.server.put("/v1/products", {"products": [record.document(self.shop.url) for record in RECORDS]})
        return len(RECORDS)

    def load_purchases(self, advance: Advance) -> None:
        """Every customer, then every purchase, as Segment-shaped batches; `advance` counts events."""
        people = self.purchases.people
        self._batches([person.event() for person in people], advance)
        self._batches([purchase.event() for person in people for purchase in person.purchases], advance)

    def load_points(self) -> tuple[int, int]:
        """The points programme: what the purchases earned, then what was spent of it; how many rows of each."""
        lots, redemptions = rows(self.purchases.people)
        for part in _chunks(lots, POINTS_A_CALL):
            self.server.post("/v1/loyalty/lots", {"lots": part})
        for part in _chunks(redemptions, POINTS_A_CALL):
            self.server.post("/v1/loyalty/redemptions", {"redemptions": part})
        return len(lots), len(redemptions)

    def subscribe(self, advance: Advance) -> None:
        """A browser for each customer: in at the push service, then told to the server, as the SDK does."""
        known = {
            browser.token: browser
            for entry in journal.read(self.shop.journal)
            if "browser" in entry
            and (browser := Browser.from_dict(entry["browser"])).application_server_key == self.shop.vapid_public_key
        }
        browsers: list[tuple[Person, Browser]] = []
        for person in self.purchases.people:
            token = b64url(f"{self.shop.public_key[:9]}:{person.customer}".encode())
            browser = known.get(token) or Browser.create(token, self.shop.vapid_public_key)
            browsers.append((person, browser))
            self.owner[token] = person.customer
        for part in _chunks(browsers, BROWSERS_A_CALL):
            self.push_service.post("/browsers", {"browsers": [browser.as_dict() for _, browser in part]})

        def opt_in(pair: tuple[Person, Browser]) -> None:
            person, browser = pair
            body = {
                "subscription": browser.subscription(self.shop.push_service),
                "anonymousId": person.anonymous_id,
                "userId": person.customer,
                "context": {"locale": "en", "timezone": ZONE, "page": {"url": self.shop.url}},
            }
            self.browser_side.post("/v1/subscriptions", body)
            advance(1)

        _parallel(opt_in, browsers)

    def segment(self, telling: Telling) -> Sent:
        """Make the segment, and ask how many belong to it."""
        body = {"name": telling.name, "rule": telling.rule}
        made = self.server.post("/v1/segments", body, once=f"{self.run_id}-segment-{telling.key}")
        estimate = self.server.post("/v1/segments/estimate", {"rule": telling.rule})
        return Sent(telling, made["id"], estimate["size"], estimate["reachable"], estimate["took_ms"])

    def members(self, sent: Sent) -> set[str]:
        """The segment's members by the shop's ids, page by page."""
        found: set[str] = set()
        cursor = ""
        while True:
            page = self.server.get(f"/v1/segments/{sent.segment_id}/members?limit=500&cursor={cursor}")
            found.update(member["external_id"] for member in page["data"])
            if not (cursor := page["next_cursor"]):
                return found

    def send(self, sent: Sent) -> None:
        """A campaign to the segment."""
        notification = {
            "title": sent.telling.title,
            "body": sent.telling.body,
            "url": f"{self.shop.url}/?utm_campaign={sent.telling.key}",
            "data": {"campaign": self.mark(sent)},
        }
        body = {
            "name": sent.telling.name,
            "audience": {"include": [sent.segment_id]},
            "variants": [{"weight": 1, "notification": notification}],
            "ttl": 3600,
            "urgency": "normal",
            "quiet_hours": "ignore",
            "cap": "ignore",
        }
        made = self.server.post("/v1/campaigns", body, once=f"{self.run_id}-campaign-{sent.telling.key}")
        sent.campaign_id = made["id"]
        self.server.post(f"/v1/campaigns/{made['id']}/send", once=f"{self.run_id}-send-{sent.telling.key}")

    def mark(self, sent: Sent) -> str:
        """What a notification carries to be told from those of other campaigns."""
        return f"{self.run_id}/{sent.telling.key}"

    def watch(self, campaigns: list[Sent], show: Callable[[int, int], None]) -> float:
        """Until all are sent; the time.monotonic() of the last change in their reports.

        `show` gets how many deliveries have come to an end, of how many. TimeoutError when nothing moves any more.
        """
        before, changed = [sent.report for sent in campaigns], time.monotonic()
        while True:
            over = [self.server.get(f"/v1/campaigns/{sent.campaign_id}")["state"] == "sent" for sent in campaigns]
            self.refresh(campaigns)
            states = [sent.report["states"] for sent in campaigns]
            total = sum(sent.report["audience"] for sent in campaigns)
            still = sum(count.get(state, 0) for count in states for state in OPEN_STATES)
            show(total - still, total)
            if (now := [sent.report for sent in campaigns]) != before:
                before, changed = now, time.monotonic()
            if all(over):
                return changed
            if time.monotonic() - changed > STALLED_AFTER:
                raise TimeoutError(f"no delivery has moved for {STALLED_AFTER:.0f} s: {states}")
            time.sleep(0.1)

    def screens(self) -> list[dict[str, Any]]:
        """What the push service has written down of this site's browsers, oldest first."""
        return [entry for entry in journal.read(self.shop.journal) if entry.get("token") in self.owner]

    def report_receipts(self, deliveries: list[str], clicked: list[str]) -> None:
        """Every browser says what it showed, some what was clicked, as the service worker does."""
        at = clock.rfc3339(clock.now())
        receipts = [{"delivery": delivery, "kind": "shown", "at": at} for delivery in deliveries]
        receipts += [{"delivery": delivery, "kind": "clicked", "at": at} for delivery in clicked]
        for part in _chunks(receipts, RECEIPTS_A_CALL):
            self.browser_side.post("/v1/receipts", {"receipts": part})

    def refresh(self, campaigns: list[Sent]) -> None:
        """The reports as they are now."""
        for sent in campaigns:
            sent.report = self.server.get(f"/v1/campaigns/{sent.campaign_id}/report")

    @property
    def retries(self) -> int:
        """How often a request had to be made again."""
        return self.server.retries + self.browser_side.retries + self.push_service.retries

    def expected(self, sent: Sent, earlier: datetime, later: datetime) -> tuple[set[str], set[str]]:
        """Who must get it, and who may: they differ only where a window's edge passed a customer in between."""
        people = self.purchases.people
        first, last = sent.telling.members(people, earlier), sent.telling.members(people, later)
        return first & last, first | last

    def _batches(self, events: list[dict[str, Any]], advance: Advance) -> None:
        def post(batch: list[dict[str, Any]]) -> None:
            self.server.post("/v1/batch", {"batch": batch})
            advance(len(batch))

        _parallel(post, list(_chunks(events, EVENTS_A_BATCH)), threads=4)


def _chunks(items: list[T], size: int) -> Iterator[list[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _parallel(function: Callable[[T], None], items: Iterable[T], threads: int = 8) -> None:
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(function, item) for item in items]:
            done.result()
