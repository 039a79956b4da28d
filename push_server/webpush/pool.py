"""The HTTP/2 connections to all push services, and the messages that wait for one."""

import selectors
import ssl
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from push_server.webpush import guard
from push_server.webpush.exchange import Exchange
from push_server.webpush.http2 import STREAMS
from push_server.webpush.link import Link
from push_server.webpush.message import PushResponse
from push_server.webpush.resolver import Resolver

LINKS_PER_ORIGIN: Final = 32
MAX_LINKS: Final = 128
"""Kept open over all origins; Windows' push service alone has a name for each of its regions."""
MISUNDERSTANDINGS: Final = 3
"""Such connections in a row after which a service is posted to by HTTP/1.1: whoever is at fault, messages go out."""
MAX_IDLE: Final = 100.0
"""Seconds without use after which a connection is not trusted any more: routers forget it, and say nothing."""


@dataclass(eq=False, slots=True)
class _Origin:
    name: str
    where: tuple[str, int]
    waiting: deque[Exchange] = field(default_factory=deque)
    links: list[Link] = field(default_factory=list)
    misunderstandings: int = 0
    """Connections in a row that ended by one, without an answer to any message."""


class Pool:
    """`start` takes exchanges; `done` fills with answers, `without_http2` with those that must go by HTTP/1.1, and
    `misunderstood` with origins that must be posted to so from here on, and why.
    """

    def __init__(self, selector: selectors.BaseSelector, ca_file: str, timeout: float, connect_timeout: float) -> None:
        self.done: deque[PushResponse] = deque()
        self.without_http2: deque[Exchange] = deque()
        self.misunderstood: dict[str, str] = {}
        self._selector = selector
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._resolver = Resolver(selector)
        self._context = ssl.create_default_context(cafile=ca_file)
        self._context.set_alpn_protocols(["h2", "http/1.1"])
        self._context.options |= ssl.OP_NO_RENEGOTIATION
        self._origins: dict[str, _Origin] = {}
        self._unflushed: set[Link] = set()

    def start(self, exchange: Exchange) -> None:
        """Post a message as soon as a connection has room; `flush` sends it."""
        origin = self._origins.get(exchange.origin)
        if origin is None:
            origin = self._origins[exchange.origin] = _Origin(exchange.origin, _where(exchange.origin))
        if not origin.waiting:
            for link in origin.links:
                if link.http2 is not None and link.http2.has_room():
                    link.http2.post(exchange)
                    self._unflushed.add(link)
                    return
        origin.waiting.append(exchange)
        self._grow(origin)

    def flush(self) -> None:
        """Send what `start` has posted."""
        while self._unflushed:
            self._unflushed.pop().flush()

    def tick(self, now: float) -> None:
        """Once in a while: give up what has waited too long."""
        for origin in list(self._origins.values()):
            for link in list(origin.links):
                link.tick(now)
                if link.http2 is None and link.error is None and now >= link.opened + self._connect_timeout:
                    link.close(f"no connection within {self._connect_timeout:g} s")
                    self._changed(origin, link)
                elif link.http2 is not None:
                    self._time_out(origin, link, now)
            while origin.waiting and now >= origin.waiting[0].deadline:
                self._answer(origin.waiting.popleft(), self._too_late())
            self._grow(origin)
        self.flush()

    def trim(self, now: float) -> None:
        """Between two calls: close what is old, of no more use, or too much."""
        every = [(origin, link) for origin in self._origins.values() for link in origin.links]
        every.sort(key=lambda each: each[1].used, reverse=True)
        for place, (origin, link) in enumerate(every):
            old = place >= MAX_LINKS or now - link.used > MAX_IDLE or link.is_stuck
            if old or link.http2 is None or link.http2.leaving:
                link.close("of no more use")
                self._remove(origin, link)
        known = self._origins.items()
        self._origins = {name: origin for name, origin in known if origin.links or origin.misunderstandings}

    def abandon(self) -> None:
        """Forget everything under way; connections that stand are kept."""
        for origin in self._origins.values():
            origin.waiting.clear()
            for link in origin.links:
                if link.http2 is not None:
                    for exchange in list(link.http2.streams.values()):
                        link.http2.cancel(exchange)
                        self._unflushed.add(link)
        self.flush()
        self.done.clear()
        self.without_http2.clear()

    def close(self) -> None:
        """Close every connection."""
        for origin in self._origins.values():
            for link in origin.links:
                link.close("closed")
        self._origins.clear()
        self._resolver.close()

    def _grow(self, origin: _Origin) -> None:
        """Open connections for those who wait, STREAMS to each."""
        opening = sum(link.http2 is None for link in origin.links)
        while len(origin.waiting) > opening * STREAMS and len(origin.links) < LINKS_PER_ORIGIN:
            opening += 1
            link = Link(
                self._selector,
                self._resolver,
                self._context,
                origin.where,
                public_only=not guard.is_operator_origin(origin.name),
                changed=lambda link: self._changed(origin, link),
            )
            origin.links.append(link)
            if link.error is not None:  # at once: no route, or no public address
                self._changed(origin, link)
                return

    def _changed(self, origin: _Origin, link: Link) -> None:
        """Take what a connection has brought, and give it what waits."""
        if link not in origin.links:
            return
        if link.http2 is not None:
            self._collect(origin, link)
        link.used = time.monotonic()
        if link.error is not None:
            self._lost(origin, link, link.error)
            if link.http2 is None:  # the next attempt is the next tick's, if anybody still waits
                return
        elif link.http2 is not None:
            while origin.waiting and link.http2.has_room():
                link.http2.post(origin.waiting.popleft())
                self._unflushed.add(link)
            if link.http2.leaving and not link.http2.streams:
                link.close("of no more use")
                self._remove(origin, link)
        self._grow(origin)

    def _collect(self, origin: _Origin, link: Link) -> None:
        http2 = link.http2
        assert http2 is not None
        if http2.answered:
            for exchange, error in http2.answered:
                self._answer(exchange, error)
            http2.answered.clear()
        if http2.again:
            origin.waiting.extendleft(reversed(http2.again))
            http2.again.clear()

    def _remove(self, origin: _Origin, link: Link) -> None:
        origin.links.remove(link)
        if link.http2 is None:
            return
        if link.http2.has_answered:
            origin.misunderstandings = 0
        elif link.http2.disagreement is not None:
            origin.misunderstandings += 1
            if origin.misunderstandings >= MISUNDERSTANDINGS:
                origin.misunderstandings = 0
                self.misunderstood[origin.name] = link.http2.disagreement
                self.without_http2.extend(origin.waiting)
                origin.waiting.clear()

    def _lost(self, origin: _Origin, link: Link, error: str) -> None:
        self._remove(origin, link)
        self._unflushed.discard(link)
        if link.http2 is not None:
            for exchange in link.http2.streams.values():
                self._answer(exchange, error)
        elif link.without_http2:
            self.without_http2.extend(origin.waiting)
            origin.waiting.clear()
        elif not origin.links:
            while origin.waiting:
                self._answer(origin.waiting.popleft(), error)

    def _time_out(self, origin: _Origin, link: Link, now: float) -> None:
        http2 = link.http2
        assert http2 is not None
        late = [exchange for exchange in http2.streams.values() if now >= exchange.deadline]
        if late:
            # A connection that let a message time out may be dead without knowing it.
            http2.leaving = True
            for exchange in late:
                http2.cancel(exchange)
                self._answer(exchange, self._too_late())
            self._unflushed.add(link)
            self._changed(origin, link)

    def _too_late(self) -> str:
        return f"timed out after {self._timeout:g} s"

    def _answer(self, exchange: Exchange, error: str | None) -> None:
        self.done.append(exchange.response(error))


def _where(origin: str) -> tuple[str, int]:
    parts = urlsplit(origin)
    assert parts.hostname is not None
    return parts.hostname, parts.port or 443
