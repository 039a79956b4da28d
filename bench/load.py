"""The load of `homing bench ingest`: HTTP/1.1 over plain sockets, so that it costs little beside what it measures.

`python -m bench.load URL KEY EVENTS CONNECTIONS SECONDS NUMBER`: each connection posts EVENTS events, waits for the
answer, posts again. Prints one JSON object: requests, events and failures, and the times to answer in milliseconds.
"""

import asyncio
import json
import random
import re
import sys
import time
from base64 import b64encode
from urllib.parse import urlsplit

CUSTOMERS = 10_000
BODIES = 64
_MARK = b"@@@@@@@@@@@@@@@@"
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_NAMES = ("Product Viewed", "Product List Viewed", "Product Added", "Product Clicked", "Cart Viewed")


def event(chance: random.Random, number: int) -> dict[str, object]:
    """What a shop's page sends of one event, about 300 bytes; the marks become part of a message id of its own."""
    product = chance.randrange(2000)
    return {
        "type": "track",
        "event": chance.choice(_NAMES),
        "userId": f"customer-{chance.randrange(CUSTOMERS)}",
        "messageId": f"{_MARK.decode()}-{number}",
        "properties": {
            "product_id": f"p-{product}",
            "category": f"category-{product % 40}",
            "name": "Dog food with beef and rice, 10 kg",
            "price": product / 100 + 1,
            "currency": "EUR",
            "url": f"https://shop.example/products/{product}",
        },
        "context": {"locale": "hu-HU", "timezone": "Europe/Budapest"},
    }


def requests_of(url: str, key: str, events: int) -> list[bytes]:
    """Requests with marks in place of the part that makes each message id unique."""
    chance = random.Random(events)
    parts = urlsplit(url)
    basic = b64encode(f"{key}:".encode()).decode()
    found = []
    for _ in range(BODIES):
        items = [event(chance, number) for number in range(events)]
        body = json.dumps(items[0] if events == 1 else {"batch": items}, separators=(",", ":"))
        head = (
            f"POST {parts.path}/v1/{'track' if events == 1 else 'batch'} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            f"Authorization: Basic {basic}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        found.append((head + body).encode())
    return found


class Load:
    """What all connections share."""

    def __init__(self, templates: list[bytes], number: int, seconds: float) -> None:
        self.templates, self.number = templates, number
        self.end = time.perf_counter() + seconds
        self.sent = self.answered = self.failed = 0
        self.times: list[float] = []

    def next(self) -> bytes | None:
        """The next request; None when the time is over."""
        if time.perf_counter() >= self.end:
            return None
        self.sent += 1
        unique = b"%06d%010d" % (self.number, self.sent)
        return self.templates[self.sent % len(self.templates)].replace(_MARK, unique)


class Connection(asyncio.Protocol):
    """One request after the other."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.buffer = b""
        self.began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, separator, body = self.buffer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not separator or (length and len(body) < int(length[1])):
            return
        self.buffer = b""
        self.load.times.append(time.perf_counter() - self.began)
        if head.startswith(b"HTTP/1.1 200"):
            self.load.answered += 1
        else:
            self.load.failed += 1
        self._send()

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.done.done():
            self.load.failed += 1
            self.done.set_result(None)

    def _send(self) -> None:
        request = self.load.next()
        if request is None:
            self.done.set_result(None)
            self.transport.close()
        else:
            self.began = time.perf_counter()
            self.transport.write(request)


async def run(url: str, key: str, events: int, connections: int, seconds: float, number: int) -> dict[str, float]:
    """Post for so many seconds; the figures."""
    loop = asyncio.get_running_loop()
    parts = urlsplit(url)
    templates = requests_of(url, key, events)
    load = Load(templates, number, seconds)
    began = time.perf_counter()
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    made = [await loop.create_connection(lambda: Connection(load), host, port) for _ in range(connections)]
    await asyncio.gather(*(connection.done for _, connection in made))
    took = time.perf_counter() - began
    times = sorted(load.times) or [0.0]
    return {
        "seconds": took,
        "requests": load.answered,
        "events": load.answered * events,
        "failed": load.failed,
        "median_ms": round(times[len(times) // 2] * 1000, 2),
        "p99_ms": round(times[len(times) * 99 // 100] * 1000, 2),
    }


if __name__ == "__main__":
    url, key, events, connections, seconds, number = sys.argv[1:]
    figures = run(url, key, int(events), int(connections), float(seconds), int(number))
    print(json.dumps(asyncio.run(figures)))
