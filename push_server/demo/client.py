"""The demo's caller of the API: keeps a connection a thread, and tries again while a process is being restarted.

Everything the demo sends may be sent twice (messageId, Idempotency-Key, upserts), so a lost answer is asked for anew.
"""

import base64
import http.client
import json
import threading
import time
from typing import Any
from urllib.parse import urlsplit

PATIENCE = 90.0


class ApiError(RuntimeError):
    """An answer that will not get better by asking again."""

    def __init__(self, method: str, path: str, status: int, body: str) -> None:
        super().__init__(f"{method} {path} answered {status}: {body[:600]}")
        self.status = status


class Client:
    """Calls one origin with one key: `sk_…` as a bearer token, `pk_…` as Basic user name, None for no key."""

    def __init__(self, origin: str, key: str | None = None, browser_origin: str | None = None) -> None:
        self._host = urlsplit(origin).netloc
        self._headers = {"Content-Type": "application/json"}
        if key and key.startswith("sk_"):
            self._headers["Authorization"] = f"Bearer {key}"
        elif key:
            self._headers["Authorization"] = "Basic " + base64.b64encode(f"{key}:".encode()).decode()
        if browser_origin:
            self._headers["Origin"] = browser_origin
        self._local = threading.local()
        self.retries = 0

    def get(self, path: str) -> Any:
        """The JSON at a path."""
        return self.call("GET", path)

    def put(self, path: str, body: Any) -> Any:
        """Replace or upsert."""
        return self.call("PUT", path, body)

    def post(self, path: str, body: Any = None, once: str | None = None) -> Any:
        """Create or do; `once` is the Idempotency-Key under which it happens once however often it is asked."""
        return self.call("POST", path, body, {"Idempotency-Key": once} if once else {})

    def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        """One answer below 400, as JSON, within PATIENCE seconds; ApiError otherwise."""
        data = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        deadline, pause = time.monotonic() + PATIENCE, 0.05
        while True:
            try:
                status, text = self._exchange(method, path, data, self._headers | (headers or {}))
            except (OSError, http.client.HTTPException) as error:
                status, text = 0, repr(error)
                self._local.connection = None
            if 200 <= status < 300:
                return json.loads(text) if text else None
            if (400 <= status < 500 and status != 429) or time.monotonic() > deadline:
                raise ApiError(method, path, status, text)
            self.retries += 1
            time.sleep(pause)
            pause = min(pause * 2, 1.0)

    def _exchange(self, method: str, path: str, data: bytes | None, headers: dict[str, str]) -> tuple[int, str]:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is not None:
            try:
                return _ask(connection, method, path, data, headers)
            except (OSError, http.client.HTTPException):
                connection.close()  # the server closes connections that were idle for some seconds
        connection = self._local.connection = http.client.HTTPConnection(self._host, timeout=30)
        return _ask(connection, method, path, data, headers)


def _ask(
    connection: http.client.HTTPConnection, method: str, path: str, data: bytes | None, headers: dict[str, str]
) -> tuple[int, str]:
    connection.request(method, path, data, headers)
    response = connection.getresponse()
    return response.status, response.read().decode()
