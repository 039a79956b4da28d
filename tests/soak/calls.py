"""Calls to a server that is killed again and again: repeated until they are answered, as a shop's queue does."""

import threading
import time
from collections import Counter
from typing import Any
from uuid import uuid4

import httpx

from push_server.sites.service import NewSite

PATIENCE = 90.0
"""Seconds after which a call that is still not answered is a fault of the server's."""


class Faults:
    """What went wrong, and what is merely counted; for all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.found: list[str] = []
        self.counted: Counter[str] = Counter()

    def add(self, fault: str) -> None:
        """Something that must not be."""
        with self._lock:
            self.found.append(fault)

    def count(self, what: str, many: int = 1) -> None:
        """Something that happened."""
        with self._lock:
            self.counted[what] += many


class Client:
    """One thread's connection to the server, with one key."""

    def __init__(self, url: str, site: NewSite, faults: Faults) -> None:
        self.site, self.faults = site, faults
        self._http = httpx.Client(base_url=url, timeout=20)
        self._bearer = {"Authorization": f"Bearer {site.secret_key}"}

    def request(self, method: str, path: str, *, headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
        """The answer, once there is one that is not 503. The same call may so be made twice."""
        key = {"Idempotency-Key": uuid4().hex} if method == "POST" and not path.endswith("receipts") else {}
        until = time.monotonic() + PATIENCE
        while True:
            try:
                answer = self._http.request(method, path, headers={**self._bearer, **key, **(headers or {})}, **more)
            except httpx.TransportError as error:
                self.faults.count(f"no answer ({type(error).__name__})")
            else:
                if answer.status_code != 503:
                    if answer.status_code >= 500:
                        self.faults.add(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
                    self.faults.count("calls answered")
                    return answer
                self.faults.count("answered with 503")
            if time.monotonic() > until:
                raise TimeoutError(f"{method} {path} was not answered for {PATIENCE:.0f} s")
            time.sleep(0.1)

    def get(self, path: str, **more: Any) -> httpx.Response:
        """As httpx has it."""
        return self.request("GET", path, **more)

    def delete(self, path: str, **more: Any) -> httpx.Response:
        """As httpx has it."""
        return self.request("DELETE", path, **more)

    def put(self, path: str, **more: Any) -> httpx.Response:
        """As httpx has it."""
        return self.request("PUT", path, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        """As httpx has it."""
        return self.request("POST", path, **more)


class Caller:
    """What the worlds of the tests call an API: `client`, and `call` for what must succeed."""

    def __init__(self, client: Client) -> None:
        self.client, self.site = client, client.site

    def call(self, method: str, path: str, status: int = 200, **more: Any) -> Any:
        """The answer's document."""
        answer = self.client.request(method, path, **more)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None
