"""`homing bench send`: our sender beside pywebpush, npm web-push and the cryptography's own cost, against one TLS sink.

Ours is what deliveries use: the address guard, `encrypt`, the cached VAPID token and `PushClient`; the same once more
as RQ jobs in a worker process; and a whole campaign, PostgreSQL and Valkey included. The contenders take turns, and
each figure is the median of its turns. "Per core" divides by the CPU time of the process that sends, so that what else
runs on the machine counts little; the sink has a core of its own.
"""

import json
import os
import statistics
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from bench.campaign_run import run_campaign
from bench.crypto_limit import CryptoLimit
from bench.installation import Installation, installed
from bench.node import installed_web_push, node, node_20
from bench.send_contenders import ASYNC, CAMPAIGN, NPM, NPM_20, OURS, QUEUE, README, SESSION, Contender, Senders
from bench.send_ours import CONTACT, ThroughRQ
from bench.send_show import show
from bench.web_push import WebPush
from push_server import security
from push_server.db import database
from push_server.garbage import collect_rarely
from push_server.servers import environment
from push_server.webpush.vapid import KeyPair

BROWSERS = 8192  # twice as many as parsed keys are kept, so that none is found again
ENCRYPT_OURS, ENCRYPT_THEIRS, LIMIT = "encryption, homing", "encryption, pywebpush", "crypto limit"
SENDERS = (README, SESSION, ASYNC, NPM, NPM_20, OURS, QUEUE, CAMPAIGN)
WARM_UP = 50
TARGETS = {README: 19.0, ASYNC: 3.5, NPM: 8.0, NPM_20: 8.0, LIMIT: 0.36}
"""How many times each of them ours shall be."""
KEPT = 0.85
"""The part of it that shall be left when the same messages are sent by RQ jobs of the product's chunks."""


@dataclass(frozen=True, slots=True)
class Row:
    """Messages a second: medians, and the slowest and fastest turn per core."""

    name: str
    per_core: float
    wall: float
    slowest: float
    fastest: float
    times_readme: float | None
    of_crypto_limit: float | None
    messages: int


def run(
    messages: Annotated[int, typer.Option(min=100, help="Messages of ours a turn; the baselines send fewer.")] = 4000,
    seconds: Annotated[float, typer.Option(min=1, help="How long to go on taking turns (three at least).")] = 45.0,
    as_json: Annotated[bool, typer.Option("--json", help="The figures as JSON.")] = False,
) -> None:
    """Messages a second per core: homing beside pywebpush and npm web-push, against one TLS sink that checks them."""
    console = Console(stderr=as_json)
    with tempfile.TemporaryDirectory(prefix="homing-bench-") as scratch:
        result = measure(Path(scratch), messages, seconds, console)
    if as_json:
        print(json.dumps(result, indent=2))
    else:
        show(result, console, OURS)
    if not result["sound"]:
        raise typer.Exit(1)


def measure(scratch: Path, messages: int, seconds: float, console: Console) -> dict[str, Any]:
    """Take turns for about `seconds`; every figure, and whether the sink received and accepted all that was sent."""
    with ExitStack() as stack:
        shop_size = min(BROWSERS, 2 * messages)
        installation = stack.enter_context(installed(scratch, [shop_size], console, browsers=BROWSERS))
        stack.enter_context(environment({"REQUESTS_CA_BUNDLE": str(installation.sink.certificate)}))
        senders = Senders(scratch, installation.sink, _site_key(), installation.browsers)
        stack.callback(senders.close)
        contenders = senders.contenders()
        if installed_web_push():
            for name, runtime in ((NPM, node()), (NPM_20, node_20())):
                if runtime is not None:
                    npm = WebPush(
                        runtime, scratch, installation.sink, senders.browsers, senders.texts, senders.pair, CONTACT
                    )
                    contenders.append(_npm(name, stack.enter_context(npm)))
        else:
            console.print("npm web-push could not be installed (it needs the npm registry), and is left out.")
        installation.add_worker()
        jobs = stack.enter_context(ThroughRQ(senders.own))
        contenders.append(Contender(QUEUE, jobs.send, 2.0, jobs.cpu))  # CPU time of a process is told in 10 ms
        collect_rarely()  # as workers do, so that the same messages cost the same here but for RQ
        for each in contenders:
            each.run(0, WARM_UP)  # imports, connections and the token, once
        sent = WARM_UP * len(contenders)
        cryptography = _cryptography(senders)
        contenders += cryptography
        sent += run_campaign(installation, installation.shops[0]).messages
        campaign = Contender(CAMPAIGN, lambda first, count: None, 1.0)
        turns = _take_turns(contenders, campaign, installation, messages, seconds)
        contenders.insert(-len(cryptography), campaign)
        received, done = installation.sink.counts(), jobs.done
    sent += sum(each.messages for each in contenders if each.name in SENDERS)
    rows = _rows(contenders)
    per_core = {row.name: row.per_core for row in rows}
    return {
        "rows": [asdict(row) for row in rows],
        "targets": _targets(per_core),
        "campaign_to_bare_sender": round(per_core[CAMPAIGN] / per_core[OURS], 3),
        "rq_jobs": done,
        "turns": turns,
        "sent": sent,
        "sink": received,
        "sound": received["received"] == sent and received["rejected"] == 0 and received["decrypted"] > 0,
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
    }


def _take_turns(
    contenders: list[Contender], campaign: Contender, installation: Installation, messages: int, seconds: float
) -> int:
    end = time.monotonic() + seconds
    turns = 0
    while turns < 3 or time.monotonic() < end:
        for each in contenders:
            each.turn(messages)
        run = run_campaign(installation, installation.shops[0])
        campaign.note(run.accepted, run.cpu_us["worker"] * run.messages / 1e6, run.seconds)
        turns += 1
    return turns


def _npm(name: str, npm: WebPush) -> Contender:
    return Contender(name, npm.send, 0.3, lambda: npm.cpu)


def _site_key() -> KeyPair:
    with database().connect() as conn:
        public_key, sealed = conn.execute("select public_key, private_key from vapid_key").fetchall()[0]
    return KeyPair(public_key, security.unseal(sealed, "vapid.private_key"))


def _cryptography(senders: Senders) -> list[Contender]:
    contenders = [
        Contender(ENCRYPT_THEIRS, senders.encrypt_theirs, 0.1),
        Contender(ENCRYPT_OURS, senders.encrypt_ours, 0.2),
    ]
    limit = CryptoLimit.of_this_machine()
    if limit is not None:
        spent = 0.0

        def run(_first: int, count: int) -> None:
            nonlocal spent
            spent += limit.seconds(count)

        contenders.append(Contender(LIMIT, run, 0.2, lambda: spent))
    return contenders


def _rows(contenders: list[Contender]) -> list[Row]:
    medians = {each.name: statistics.median(each.per_core) for each in contenders}
    limit = medians.get(LIMIT)
    return [
        Row(
            name=each.name,
            per_core=round(medians[each.name], 1),
            wall=round(statistics.median(each.wall), 1),
            slowest=round(min(each.per_core), 1),
            fastest=round(max(each.per_core), 1),
            times_readme=round(medians[each.name] / medians[README], 2) if each.name in SENDERS else None,
            of_crypto_limit=round(medians[each.name] / limit, 3) if limit else None,
            messages=each.messages,
        )
        for each in contenders
    ]


def _targets(per_core: dict[str, float]) -> dict[str, dict[str, Any]]:
    """Ours beside each of the others, and what is left of it in RQ jobs."""
    reached = {
        f"times {name}": (per_core[OURS] / per_core[name], least) for name, least in TARGETS.items() if name in per_core
    }
    reached["kept through RQ"] = (per_core[QUEUE] / per_core[OURS], KEPT)
    return {
        name: {"reached": round(ratio, 3), "at_least": least, "met": ratio >= least}
        for name, (ratio, least) in reached.items()
    }
