"""The pooled transport to push services: many messages in flight at once over few HTTP/2 connections, in one loop.

The connections outlive a call, so that the next chunk of messages finds them open. One client belongs to one thread
of one process: make a new one after a fork.
"""

import logging
import selectors
import ssl
import time
from collections.abc import Iterable, Iterator
from typing import Final

import certifi

from push_server.errors import Invalid
from push_server.webpush import guard
from push_server.webpush.exchange import Exchange
from push_server.webpush.http1 import Http1
from push_server.webpush.http2 import STREAMS
from push_server.webpush.message import PushMessage, PushResponse, fields
from push_server.webpush.pool import Pool
from push_server.webpush.response import NOT_SENT

log = logging.getLogger(__name__)

__all__ = ["STREAMS", "PushClient", "PushMessage", "PushResponse"]

IN_FLIGHT: Final = 256
TIMEOUT: Final = 10.0
"""Seconds for one request, the wait for a connection included."""
CONNECT_TIMEOUT: Final = 5.0
LOOK_ROUND: Final = 0.25
"""Seconds between two looks at what has waited too long."""
WITHOUT_HTTP2: Final = 600.0
"""Seconds until an origin that spoke HTTP/1.1 alone, or misunderstood our HTTP/2, is asked for HTTP/2 again."""


class PushClient:
    """Posts push messages; `send` yields one answer for each."""

    def __init__(
        self,
        *,
        in_flight: int = IN_FLIGHT,
        timeout: float = TIMEOUT,
        connect_timeout: float = CONNECT_TIMEOUT,
        ca_file: str | None = None,
    ) -> None:
        """`ca_file`: PEM certificates to trust; by default the system's (SSL_CERT_FILE), else certifi's."""
        self._in_flight = in_flight
        self._timeout = timeout
        ca_file = ca_file or ssl.get_default_verify_paths().cafile or certifi.where()
        self._selector = selectors.DefaultSelector()
        self._http2 = Pool(self._selector, ca_file, timeout, connect_timeout)
        self._http1 = Http1(self._selector, ca_file, timeout, connect_timeout)
        self._without_http2: dict[str, float] = {}  # origins, and until when
        self._speaks_http1: set[str] = set()  # of those
        self._sending = False
        self._under_way = 0
        self._looked = 0.0

    def __enter__(self) -> "PushClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, messages: Iterable[PushMessage]) -> Iterator[PushResponse]:
        """Post every message and yield exactly one response for each, in the order of the answers.

        Messages are pulled only as others are answered, so that a generator which encrypts works while the network
        does. When `messages` raises, what is already under way is answered first; then the error goes on to the
        caller. Leaving the iterator early abandons what is under way.
        """
        if self._sending:
            raise RuntimeError("this client is sending already")
        # Between two looks at the network a quarter of what may be under way is pulled, and nothing until there is
        # room for that: fewer and larger reads and writes.
        burst = max(self._in_flight // 4, 1)
        source = iter(messages)
        failure: Exception | None = None
        more = True
        self._sending = True
        try:
            self._begin()
            while more or self._under_way:
                pull = burst if more and self._in_flight - self._under_way >= burst else 0
                for _ in range(pull):
                    try:
                        message = next(source)
                    except StopIteration:
                        more = False
                        break
                    except Exception as error:
                        more, failure = False, error
                        break
                    refusal = self._start(message)
                    if refusal is not None:
                        yield refusal
                self._work(wait=not pull)
                for done in (self._http2.done, self._http1.done):
                    while done:
                        self._under_way -= 1
                        yield done.popleft()
        finally:
            self._sending, self._under_way = False, 0
            self._http2.abandon()
            self._http1.abandon()
        if failure is not None:
            raise failure

    def close(self) -> None:
        """Close every connection."""
        self._http2.close()
        self._http1.close()
        self._selector.close()

    def _begin(self) -> None:
        """See which connections have ended since the last call, so that no message is lost on one."""
        now = time.monotonic()
        self._http2.trim(now)
        for key, events in self._selector.select(0):
            key.data(events)
        self._without_http2 = {origin: until for origin, until in self._without_http2.items() if now < until}
        self._speaks_http1 &= self._without_http2.keys()

    def _start(self, message: PushMessage) -> PushResponse | None:
        """Put a message under way; or the answer to one that may not be posted."""
        try:
            origin = guard.check_endpoint(message.endpoint)
            exchange = Exchange(message, origin, fields(message), time.monotonic() + self._timeout)
        except (Invalid, ValueError) as error:
            return PushResponse(message.ref, None, error=f"{NOT_SENT}: {error}")
        self._under_way += 1
        if origin.startswith("https:") and origin not in self._without_http2:
            self._http2.start(exchange)
        else:
            self._http1.start(exchange)
        return None

    def _work(self, *, wait: bool) -> None:
        """Read and write, and look at the clock; with `wait`, sleep until there is something to do."""
        self._http2.flush()
        pause = 0.0
        if wait and self._under_way and not self._http2.done and not self._http1.done:
            now, due = time.monotonic(), self._http1.due
            pause = LOOK_ROUND if due is None else min(max(0.0, due - now), LOOK_ROUND)
        for key, events in self._selector.select(pause):
            key.data(events)
        now = time.monotonic()
        if now - self._looked >= LOOK_ROUND:
            self._looked = now
            self._http2.tick(now)
        self._http1.tick(now)
        self._return_to_http2()
        while self._http2.misunderstood:
            origin, why = self._http2.misunderstood.popitem()
            self._without_http2[origin] = now + WITHOUT_HTTP2
            log.warning("%s is posted to by HTTP/1.1 for ten minutes, since HTTP/2 fails there: %s", origin, why)
        while self._http2.without_http2:
            exchange = self._http2.without_http2.popleft()
            self._without_http2[exchange.origin] = now + WITHOUT_HTTP2
            self._http1.start(exchange)
        self._http2.flush()

    def _return_to_http2(self) -> None:
        """A service that gives no answer to HTTP/1.1 either may speak HTTP/2 alone, and have had a bad moment."""
        self._speaks_http1 |= self._http1.answered
        for origin in self._http1.unanswered - self._speaks_http1:
            if self._without_http2.pop(origin, None) is not None:
                log.warning("%s is tried by HTTP/2 again, since it does not answer to HTTP/1.1", origin)
        self._http1.answered.clear()
        self._http1.unanswered.clear()
