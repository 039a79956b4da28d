"""Who sends in `homing bench send`. Each sends messages by number, with a text and a browser of its own for each."""

import asyncio
import json
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pywebpush
import requests
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bench.send_ours import CONTACT, Ours
from bench.sink import Sink, Subscriber
from push_server.webpush import vapid
from push_server.webpush.encryption import encrypt

IN_FLIGHT = 64
"""Messages that the baselines have under way, where they can have more than one."""
OURS, QUEUE, CAMPAIGN = "homing", "homing, through RQ", "homing, a campaign"
README, SESSION, ASYNC = "pywebpush, README loop", "pywebpush, one session", "pywebpush.webpush_async, 64"
NPM, NPM_20 = "npm web-push, 64", "npm web-push, 64, Node 20"


@dataclass(slots=True)
class Contender:
    """`run(first, count)` handles messages number `first` to `first + count - 1`; `cpu`: seconds spent so far."""

    name: str
    run: Callable[[int, int], None]
    share: float  # of --messages, so that all turns take about as long
    cpu: Callable[[], float] = time.process_time
    per_core: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    messages: int = 0

    def turn(self, messages: int) -> None:
        """One measured turn."""
        count = max(int(messages * self.share), 1)
        wall, cpu = time.perf_counter(), self.cpu()
        self.run(self.messages, count)
        self.note(count, self.cpu() - cpu, time.perf_counter() - wall)

    def note(self, count: int, cpu: float, wall: float) -> None:
        """Take the figures of one turn: seconds."""
        self.per_core.append(count / cpu)
        self.wall.append(count / wall)
        self.messages += count


class Senders:
    """What the senders of this process share."""

    def __init__(self, scratch: Path, sink: Sink, pair: vapid.KeyPair, browsers: list[Subscriber]) -> None:
        self.browsers, self.pair = browsers, pair
        self.texts = [_text(number) for number in range(len(browsers))]
        self._infos = [browser.info(sink.http1) for browser in browsers]
        endpoints = [f"{sink.http2}/push/{browser.number}" for browser in browsers]
        self._plain = [text.encode() for text in self.texts]
        self._key_file = _key_file(scratch, pair)
        self._certificate = str(sink.certificate)
        self._session = requests.Session()
        self.own = Ours(browsers, endpoints, self._plain, pair, self._certificate)

    def close(self) -> None:
        """Close every connection."""
        self._session.close()
        self.own.client.close()

    def contenders(self) -> list[Contender]:
        """The senders, ours last."""
        return [
            Contender(README, self.readme, 0.06),
            Contender(SESSION, self.session, 0.12),
            Contender(ASYNC, self.concurrent, 0.4),
            Contender(OURS, self.ours, 1.0),
        ]

    def ours(self, first: int, count: int) -> None:
        """As deliveries are sent, in this process."""
        self.own.send(range(first, first + count))

    def readme(self, first: int, count: int, session: requests.Session | None = None) -> None:
        """The loop of pywebpush's README."""
        for ref in range(first, first + count):
            pywebpush.webpush(
                subscription_info=self._infos[ref % len(self.browsers)],
                data=self.texts[ref % len(self.browsers)],
                vapid_private_key=self._key_file,
                vapid_claims={"sub": CONTACT},
                requests_session=session,
            )

    def session(self, first: int, count: int) -> None:
        """The same with one session, which keeps its connection."""
        self.readme(first, count, self._session)

    def concurrent(self, first: int, count: int) -> None:
        """`webpush_async`, 64 in flight on one session."""
        asyncio.run(self._concurrent(first, count))

    async def _concurrent(self, first: int, count: int) -> None:
        refs = iter(range(first, first + count))
        trusted = ssl.create_default_context(cafile=self._certificate)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=IN_FLIGHT, ssl=trusted)) as session:

            async def one_after_the_other() -> None:
                for ref in refs:
                    await pywebpush.webpush_async(
                        subscription_info=self._infos[ref % len(self.browsers)],
                        data=self.texts[ref % len(self.browsers)],
                        vapid_private_key=self._key_file,
                        vapid_claims={"sub": CONTACT},
                        aiohttp_session=session,
                    )

            await asyncio.gather(*(one_after_the_other() for _ in range(IN_FLIGHT)))

    def encrypt_ours(self, first: int, count: int) -> None:
        """Our encryption alone."""
        for ref in range(first, first + count):
            browser = self.browsers[ref % len(self.browsers)]
            encrypt(self._plain[ref % len(self.browsers)], browser.p256dh, browser.auth)

    def encrypt_theirs(self, first: int, count: int) -> None:
        """pywebpush's encryption alone."""
        for ref in range(first, first + count):
            pywebpush.WebPusher(self._infos[ref % len(self.browsers)]).encode(self._plain[ref % len(self.browsers)])


def _key_file(scratch: Path, pair: vapid.KeyPair) -> str:
    private = ec.derive_private_key(int.from_bytes(pair.private_key, "big"), ec.SECP256R1())
    path = scratch / "vapid_private.pem"
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    return str(path)


def _text(number: int) -> str:
    """A push payload of about 300 bytes, as deliveries have them."""
    notification = {
        "title": "Your points run out on Sunday",
        "body": "240 points are worth 12 € off. Grüße from the shop at the corner, open until eight.",
        "navigate": f"https://shop.example/points?utm_source=homing&utm_medium=web_push&n={number}",
        "tag": f"points-{number}",
        "data": {"homing": {"delivery": str(number), "api": "https://push.example.com"}},
    }
    return json.dumps({"web_push": 8030, "notification": notification}, ensure_ascii=False, separators=(",", ":"))
