"""What happens in the shop: facts near the edges of time that rules look at, edits of segments, campaigns, receipts."""

import threading
from collections import deque
from datetime import timedelta
from random import Random
from typing import Any
from uuid import uuid4

from push_server import clock
from push_server.demo.browsers import Browser
from tests.doubles.scripted_push import Answer, ScriptedPush
from tests.integration.test_refresh_agrees import RULES, World
from tests.soak.calls import Caller

HOURS = (0, 1, 2, 3, 5, 6, 12, 24)
"""The windows of the rules: facts are dated so that they cross one within the minute, or so long ago."""
BUYERS, BROWSERS = 60, 40
MESSAGES: list[dict[str, Any]] = [
    {"message": {"outcome": outcome, "within": "24h"}} for outcome in ("accepted", "shown", "clicked", "converted")
]


class Happenings(World):
    """One thread's share of what customers do. What was acknowledged of it is in `stored`."""

    def __init__(self, caller: Caller, number: int, push: ScriptedPush, browsers: "Browsers") -> None:
        super().__init__(caller, number)  # type: ignore[arg-type]
        self.push, self.browsers, self.stored = push, browsers, list[str]()
        self.number = number * 10_000_000
        self.recent: deque[int] = deque(maxlen=200)

    def happen(self) -> None:
        """One thing, at an instant around now. What the shop's world does to the database itself is left out."""
        self.now = clock.now()
        self.number += 1
        often = [self.event, self.event, self.event, self.order, self.order]
        rare = [self.refund, self.lot, self.tier, self.trait, self.opt, self.merge, self.erase, self.product]
        self.random.choice([*often, *rare])()
        if self.random.random() < 0.02:
            self.push.script[self.who()].append(Answer(410))

    def who(self) -> str:
        return f"u{self.random.randrange(BUYERS)}"

    def when(self) -> str:
        back = timedelta(hours=self.random.choice(HOURS), seconds=self.random.uniform(-60, 60))
        return (self.now - back).isoformat()

    def event(self, **more: Any) -> None:
        if self.random.random() < 0.3:
            more.setdefault("anonymousId", f"b{self.random.randrange(BROWSERS)}")
        super().event(**more)

    def order(self) -> None:
        self.recent.append(self.number)
        super().order()

    def refund(self) -> None:
        if self.recent:
            order = {"order_id": f"o{self.random.choice(self.recent)}"}
            name = self.random.choice(["Order Refunded", "Order Cancelled"])
            self.track({"event": name, "userId": self.who(), "timestamp": self.when(), "properties": order})

    def merge(self) -> None:
        browser, who = f"b{self.random.randrange(BROWSERS)}", f"u{self.random.randrange(BUYERS // 3)}"
        self.api.call("POST", "/v1/identify", json={"anonymousId": browser, "userId": who, "traits": {}})

    def opt(self) -> None:
        who = self.who()
        given = self.browsers.of(who).subscription(self.push.origin)
        if self.random.random() < 0.3:
            body: dict[str, Any] = {"endpoint": given["endpoint"]}
            self.api.client.request("DELETE", "/v1/subscriptions", json=body, headers=self.browser)
            return
        body = {"subscription": given, "userId": who, "topics": self.random.choice([[], ["sales"]])}
        assert self.api.client.post("/v1/subscriptions", json=body, headers=self.browser).is_success

    def track(self, body: dict[str, Any]) -> None:
        id = uuid4().hex
        super().track({**body, "messageId": id})
        self.stored.append(id)


class Browsers:
    """Everybody's browser at the push service, made once."""

    def __init__(self, push: ScriptedPush, vapid_public_key: str) -> None:
        self._push, self._key, self._lock = push, vapid_public_key, threading.Lock()

    def of(self, name: str) -> Browser:
        """His."""
        with self._lock:
            return self._push.browsers.get(name) or self._push.browser(name, self._key)


class Marketer:
    """Makes, edits and deletes segments, sends campaigns to them; and the receipts of what arrives."""

    def __init__(self, caller: Caller, number: int, push: ScriptedPush) -> None:
        self.api, self.random, self.push = caller, Random(number), push
        self.segments: list[str] = []
        self._told = 0
        for rule in (*RULES, *MESSAGES):
            self._make(rule)
        for _ in range(6):
            self._make(self._nested())

    def happen(self) -> None:
        """One thing."""
        self.random.choice([self._edit, self._edit, self._replace, self._send, self._receipts, self._zone])()

    def _rule(self) -> dict[str, Any]:
        return self.random.choice([*RULES, *MESSAGES, {"not": self.random.choice(RULES)}])

    def _nested(self) -> dict[str, Any]:
        one, two = self.random.sample(self.segments[:20], 2)
        return {"any": [{"segment": one}, {"all": [{"segment": two}, {"not": self._rule()}]}]}

    def _make(self, node: dict[str, Any]) -> None:
        body = {"name": uuid4().hex[:8], "rule": {"version": 1, "where": node}}
        self.segments.append(self.api.call("POST", "/v1/segments", 201, json=body)["id"])

    def _edit(self) -> None:
        """Of those that others may name the leaves change; of the others the whole."""
        place = self.random.randrange(len(self.segments))
        node = self._rule() if place < 20 or self.random.random() < 0.5 else self._nested()
        body = {"rule": {"version": 1, "where": node}}
        self.api.call("PATCH", f"/v1/segments/{self.segments[place]}", json=body)

    def _replace(self) -> None:
        gone = self.random.choice(self.segments[20:])
        answer = self.api.client.delete(f"/v1/segments/{gone}")
        if answer.status_code != 409:  # a campaign is being planned with it
            assert answer.status_code in (204, 404), answer.text
            self.segments.remove(gone)
            self._make(self._rule())

    def _send(self) -> None:
        notification = {"title": "Hello", "url": "https://shop.example/"}
        audience = {"include": [self.random.choice(self.segments[:20])]}
        body = {"name": "C", "audience": audience, "variants": [{"notification": notification}]}
        made = self.api.call("POST", "/v1/campaigns", 201, json=body)
        self.api.call("POST", f"/v1/campaigns/{made['id']}/send", 202)

    def _receipts(self) -> None:
        arrived = self.push.arrived[self._told : self._told + 500]
        self._told += len(arrived)
        told = [
            {
                "delivery": one.notification["data"]["homing"]["delivery"],
                "kind": self.random.choice(["shown", "clicked"]),
                "at": clock.rfc3339(clock.now()),
            }
            for one in arrived
            if one.token.startswith("u")  # and not of the second shop's crowd
        ]
        if told:
            self.api.call("POST", "/v1/receipts", json={"receipts": told[:100]})

    def _zone(self) -> None:
        zone = self.random.choice(["Europe/Budapest", "UTC", "America/New_York"])
        if self.random.random() < 0.2:
            self.api.call("PATCH", "/v1/site", json={"time_zone": zone})
