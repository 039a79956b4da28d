"""One shop as each way of writing facts sees it, and what is written there.

Names of customers, browsers and orders are made from the path's number, so that all of them live in one shop.
"""

from base64 import b64encode
from collections.abc import Iterator
from datetime import timedelta
from functools import cached_property
from hashlib import sha256
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

from starlette.testclient import TestClient

from push_server import clock
from push_server.app import create_app
from push_server.events.partitions import parts_before
from push_server.events.rollup import roll_up
from tests.doubles.scripted_push import Answer
from tests.integration.sending import Shop, work
from tests.integration.test_subscriptions import FIREFOX, subscription

EAST, WEST = "Pacific/Kiritimati", "Etc/GMT+12"  # 26 hours apart: never on one date
LINE = {"product_id": "p", "price": 7, "quantity": 1}


class World:
    """The shop as one path sees it: customer `u`, his browser `b`, a message of his."""

    def __init__(self, shop: Shop, number: int) -> None:
        self.shop, self.number = shop, number
        self.u, self.b, self.order_id, self.product = f"u{number}", f"b{number}", f"o{number}", f"p{number}"

    @cached_property
    def browser(self) -> TestClient:
        key = b64encode(f"{self.shop.site.public_key}:".encode()).decode()
        return TestClient(create_app(), headers={"Authorization": f"Basic {key}"})

    def call(self, method: str, path: str, body: Any = None, *, browser: bool = False) -> Any:
        answer = (self.browser if browser else self.shop.api).request(method, path, json=body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def track(self, event: str, who: dict[str, str] | None = None, **properties: Any) -> None:
        self.call("POST", "/v1/track", {"event": event, **(who or {"userId": self.u}), "properties": properties})

    def order(self, **more: Any) -> None:
        line = LINE | {"product_id": self.product}
        self.track("Order Completed", order_id=self.order_id, **{"revenue": 7, "products": [line], **more})

    def put(self, **attributes: Any) -> None:
        self.call("PUT", f"/v1/customers/{self.u}", {"attributes": attributes})

    def lots(self) -> None:
        self.call("POST", "/v1/loyalty/lots", {"lots": [{"lot_id": self.u, "customer": self.u, "points": 50}]})

    def opt_in(self, endpoint: str | None = None, **more: Any) -> None:
        body = {"subscription": subscription(FIREFOX + (endpoint or self.b)), "userId": self.u, **more}
        self.call("POST", "/v1/subscriptions", body, browser=True)

    def born(self) -> None:
        """A birthday that is near in the EAST and not in the WEST, where he lives."""
        day = clock.now().astimezone(ZoneInfo(EAST)) + timedelta(days=1)
        self.call("PUT", f"/v1/customers/{self.u}", {"attributes": {"birthday": f"{day:%Y-%m-%d}"}, "time_zone": WEST})

    def browse_outside_the_sample(self) -> None:
        """As a browser that is not among the half of customers which the rule draws, while the name to come is."""
        self.b = next(name for name in self._names("b") if not self._is_drawn(name))
        self.u = next(name for name in self._names("u") if self._is_drawn(name))
        self.track("Seen", {"anonymousId": self.b})

    def _names(self, letter: str) -> Iterator[str]:
        return (f"{letter}{self.number}-{place}" for place in count())

    @staticmethod
    def _is_drawn(name: str) -> bool:
        return sha256(f"x:{name}".encode()).digest()[0] < 128

    def campaign(self, *, sent: bool = True) -> None:
        """A message to him, who has one browser; planned only, or sent."""
        self.shop.customer(self.u, self.u)
        self.put(mine=self.u)
        rule = {"version": 1, "where": {"attribute": "mine", "eq": self.u}}
        made = self.call("POST", "/v1/segments", {"name": self.u, "rule": rule})
        self.shop.start(audience={"include": [made["id"]]})
        work("plan")
        if sent:
            work("send")

    def track_late(self, event: str, who: dict[str, str] | None = None) -> None:
        """An event of yesterday, of a kind of which all that is older than an hour is deleted by age."""
        yesterday, hour_ago = (clock.now() - timedelta(hours=hours) for hours in (24, 1))
        told = {"event": event, **(who or {"userId": self.u}), "timestamp": yesterday.isoformat()}
        self.call("POST", "/v1/track", told)
        with self.shop.db.connect() as conn:
            conn.execute(
                "insert into event_horizon (site_id, kind_id, before, through, announced_at)"
                " select site_id, id, %s, %s, '-infinity' from term where text = %s",
                [hour_ago, hour_ago, event],
            )

    def roll_up(self, event: str) -> None:
        """What a browser did is deleted by age."""
        self.put()
        self.track_late(event, {"anonymousId": self.b})
        with self.shop.db.connect() as conn:
            rows = conn.execute(
                "select h.site_id, kind_id, before from event_horizon h join term on id = kind_id where text = %s",
                [event],
            )
            site_id, kind_id, before = rows.fetchall()[0]
            assert sum(roll_up(conn, part, site_id, kind_id, before, 10) for part in parts_before(conn, before)) == 1

    def receipt(self, kind: str, ago: int = 0) -> None:
        token = next(one for one in self.shop.push.arrived if one.token == self.u).notification["data"]["homing"]
        told = {"delivery": token["delivery"], "kind": kind, "at": clock.rfc3339(clock.now() - timedelta(seconds=ago))}
        self.call("POST", "/v1/receipts", {"receipts": [told]}, browser=True)

    def retire_vapid_key(self) -> None:
        key = self.shop.site.vapid_public_key
        self.call("DELETE", f"/v1/site/vapid-keys/{key}?lose_subscriptions=1000")

    def send_to_one_who_is_gone(self) -> None:
        self.shop.push.script[self.u].append(Answer(410))
        work("send")


def anonymous(w: World) -> dict[str, str]:
    return {"anonymousId": w.b}
