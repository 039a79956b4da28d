"""What the push services of the tests have in common: browsers, and what arrived for them, checked and decrypted."""

import threading
from collections import Counter
from dataclasses import dataclass
from typing import Any

from push_server import clock
from push_server.demo.browsers import Browser
from push_server.demo.push_service import check_push
from push_server.security import unb64url


@dataclass(frozen=True)
class Arrived:
    """A push request that was taken, decrypted."""

    token: str
    headers: dict[str, str]
    payload: dict[str, Any]

    @property
    def notification(self) -> dict[str, Any]:
        """What the browser shows."""
        shown: dict[str, Any] = self.payload["notification"]
        return shown


class Arrivals:
    """Browsers by the token in their endpoint; `arrived` in order; `refused`: what no push service would take."""

    def __init__(self) -> None:
        self.browsers: dict[str, Browser] = {}
        self.arrived: list[Arrived] = []
        self.refused: list[str] = []
        self._lock = threading.Lock()

    def browser(self, token: str, vapid_public_key: str) -> Browser:
        """A browser that subscribes here."""
        self.browsers[token] = Browser.create(token, vapid_public_key)
        return self.browsers[token]

    def shown(self) -> Counter[str]:
        """How often a message arrived, by token."""
        return Counter(one.token for one in self.arrived)

    def read(self, origin: str, token: str, headers: dict[str, str], body: bytes) -> Arrived | None:
        """The message, if the strictest push service would take it and its browser can read it."""
        browser = self.browsers[token]
        key = unb64url(browser.application_server_key)
        rejection = check_push(headers, body, origin=origin, application_server_key=key, now=clock.now())
        payload = browser.open(body)
        if rejection is not None or payload is None:
            self.refused.append(f"{token}: {rejection}")
            return None
        return Arrived(token, headers, payload)
