"""`homing bench send`: our sender beside a loop over pywebpush, as its README shows it, against one TLS sink.

Ours is what deliveries use: the address guard, `encrypt`, the cached VAPID token and `PushClient`, every message with a
text and a browser of its own. The contenders take turns, and each figure is the median of its turns. "Per core" divides
by the CPU time of this process, so that what else runs on the machine counts little; the sink has a core of its own.
"""

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pywebpush
import requests
import typer
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.curve import curve_operations
from bench.sink import Sink, Subscriber
from push_server.settings import settings
from push_server.webpush import guard, vapid
from push_server.webpush.client import PushClient
from push_server.webpush.encryption import encrypt
from push_server.webpush.message import PushMessage
from push_server.webpush.response import Outcome, judge

CONTACT = "mailto:operator@shop.example"
BROWSERS = 8192  # twice as many as parsed keys are kept, so that none is found again
OURS, README, SESSION = "homing", "pywebpush, README loop", "pywebpush, one session"
ENCRYPT_OURS, ENCRYPT_THEIRS, CURVE = "encryption, homing", "encryption, pywebpush", "curve limit"


@dataclass(slots=True)
class Contender:
    """`run(first, count)` handles messages number `first` to `first + count - 1`."""

    name: str
    run: Callable[[int, int], None]
    share: float  # of --messages, so that all turns take about as long
    per_core: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    messages: int = 0

    def turn(self, messages: int) -> None:
        """One measured turn."""
        count = max(int(messages * self.share), 1)
        wall, cpu = time.perf_counter(), time.process_time()
        self.run(self.messages, count)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        self.per_core.append(count / cpu)
        self.wall.append(count / wall)
        self.messages += count


@dataclass(frozen=True, slots=True)
class Row:
    """Messages a second: medians, and the slowest and fastest turn per core."""

    name: str
    per_core: float
    wall: float
    slowest: float
    fastest: float
    times_readme: float | None
    of_curve_limit: float | None
    messages: int


def run(
    messages: Annotated[int, typer.Option(min=100, help="Messages of ours a turn; the baselines send fewer.")] = 2000,
    seconds: Annotated[float, typer.Option(min=1, help="How long to go on taking turns (three at least).")] = 15.0,
    as_json: Annotated[bool, typer.Option("--json", help="The figures as JSON.")] = False,
) -> None:
    """Messages a second per core: homing beside pywebpush, against one TLS sink that checks what it receives."""
    console = Console(stderr=as_json)
    with tempfile.TemporaryDirectory(prefix="homing-bench-") as scratch:
        result = measure(Path(scratch), messages, seconds, console)
    if as_json:
        print(json.dumps(result, indent=2))
    else:
        _show(result, console)
    if not result["sound"]:
        raise typer.Exit(1)


def measure(scratch: Path, messages: int, seconds: float, console: Console) -> dict[str, Any]:
    """Take turns for about `seconds`; every figure, and whether the sink received and accepted all that was sent."""
    pair, key_file = _keys(scratch)
    browsers = [Subscriber(number) for number in track(range(BROWSERS), "browsers", console=console, transient=True)]
    with Sink(scratch, browsers, pair.public_key) as sink, PushClient(ca_file=str(sink.certificate)) as client:
        os.environ["HOMING_PUSH_HOSTS"] = sink.http2
        os.environ["REQUESTS_CA_BUNDLE"] = str(sink.certificate)
        settings.cache_clear()
        contenders = _contenders(sink, client, pair, key_file, browsers)
        senders = [each for each in contenders if each.name in (OURS, README, SESSION)]
        for each in senders:
            each.run(0, 50)  # imports, connections and the token, once
        end = time.monotonic() + seconds
        turns = 0
        while turns < 3 or time.monotonic() < end:
            for each in contenders:
                each.turn(messages)
            turns += 1
        received = sink.counts()
    sent = sum(each.messages + 50 for each in senders)
    return {
        "rows": [asdict(row) for row in _rows(contenders)],
        "turns": turns,
        "sent": sent,
        "sink": received,
        "sound": received["received"] == sent and received["rejected"] == 0 and received["decrypted"] > 0,
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
    }


def _keys(scratch: Path) -> tuple[vapid.KeyPair, str]:
    pair = vapid.KeyPair.generate()
    private = ec.derive_private_key(int.from_bytes(pair.private_key, "big"), ec.SECP256R1())
    path = scratch / "vapid_private.pem"
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    return pair, str(path)


def _contenders(
    sink: Sink, client: PushClient, pair: vapid.KeyPair, key_file: str, browsers: list[Subscriber]
) -> list[Contender]:
    infos = [browser.info(sink.http1) for browser in browsers]
    endpoints = [f"{sink.http2}/push/{browser.number}" for browser in browsers]
    texts = [_text(number) for number in range(BROWSERS)]
    plain = [text.encode() for text in texts]

    def ours(first: int, count: int) -> None:
        def chunk() -> Iterator[PushMessage]:
            for ref in range(first, first + count):
                number = ref % BROWSERS
                browser, endpoint = browsers[number], endpoints[number]
                body = encrypt(plain[number], browser.p256dh, browser.auth)
                token = vapid.authorization(pair, guard.check_endpoint(endpoint), CONTACT)
                yield PushMessage(ref, endpoint, body, token, ttl=3600)

        accepted = {answer.ref for answer in client.send(chunk()) if judge(answer).outcome is Outcome.ACCEPTED}
        assert len(accepted) == count, f"{count - len(accepted)} of {count} messages were not accepted"

    def readme(first: int, count: int, session: requests.Session | None = None) -> None:
        for ref in range(first, first + count):
            pywebpush.webpush(
                subscription_info=infos[ref % BROWSERS],
                data=texts[ref % BROWSERS],
                vapid_private_key=key_file,
                vapid_claims={"sub": CONTACT},
                requests_session=session,
            )

    session = requests.Session()

    def encrypt_ours(first: int, count: int) -> None:
        for ref in range(first, first + count):
            browser = browsers[ref % BROWSERS]
            encrypt(plain[ref % BROWSERS], browser.p256dh, browser.auth)

    def encrypt_theirs(first: int, count: int) -> None:
        for ref in range(first, first + count):
            pywebpush.WebPusher(infos[ref % BROWSERS]).encode(plain[ref % BROWSERS])

    contenders = [
        Contender(README, readme, 0.06),
        Contender(SESSION, lambda first, count: readme(first, count, session), 0.12),
        Contender(OURS, ours, 1.0),
        Contender(ENCRYPT_THEIRS, encrypt_theirs, 0.2),
        Contender(ENCRYPT_OURS, encrypt_ours, 0.4),
    ]
    curve = curve_operations()
    if curve is not None:
        contenders.append(Contender(CURVE, lambda _, count: curve(count), 0.5))
    return contenders


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


def _rows(contenders: list[Contender]) -> list[Row]:
    medians = {each.name: statistics.median(each.per_core) for each in contenders}
    limit = medians.get(CURVE)
    senders = (OURS, README, SESSION)
    return [
        Row(
            name=each.name,
            per_core=round(medians[each.name], 1),
            wall=round(statistics.median(each.wall), 1),
            slowest=round(min(each.per_core), 1),
            fastest=round(max(each.per_core), 1),
            times_readme=round(medians[each.name] / medians[README], 2) if each.name in senders else None,
            of_curve_limit=round(medians[each.name] / limit, 3) if limit else None,
            messages=each.messages,
        )
        for each in contenders
    ]


def _show(result: dict[str, Any], console: Console) -> None:
    table = Table(title="Messages a second (medians)", box=SIMPLE_HEAD, padding=(0, 1))
    table.add_column("", no_wrap=True)
    for heading in ("per core", "±", "wall", "×README", "×curve", "sent"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in result["rows"]:
        table.add_row(
            row["name"],
            f"{row['per_core']:,.0f}",
            f"{(row['fastest'] - row['slowest']) / row['per_core'] / 2:.0%}",
            f"{row['wall']:,.0f}",
            "" if row["times_readme"] is None else f"{row['times_readme']:.1f}",
            "" if row["of_curve_limit"] is None else f"{row['of_curve_limit']:.2f}",
            f"{row['messages']:,}",
            style="bold" if row["name"] == OURS else None,
        )
    console.print(table)
    sink = result["sink"]
    console.print(
        f"± is half of what lies between the slowest and the fastest of {result['turns']} turns. "
        f"Sent {result['sent']:,}, the sink received {sink['received']:,}, "
        f"refused {sink['rejected']:,}, decrypted {sink['decrypted']:,} of them. "
        f"{result['cores']} cores, load {result['load']}."
    )
    if not result["sound"]:
        console.print(f"[red]Not sound: the counts do not agree, or something was refused {sink['faults']}.[/red]")
