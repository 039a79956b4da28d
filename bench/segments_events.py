"""Events that come in anew: as the shop has them, each drawn by itself, and taken in by the product's own committer.

At thousands a second hardly two events in a row are of one customer, however long their sessions last: so they are
drawn independently, customers as often as they have come before.
"""

import asyncio
import json
import random
from collections.abc import Iterator
from typing import Any

import psycopg

from bench.segments_home import Kept
from push_server import clock
from push_server.events.commit import Committer, Submission
from push_server.events.intake import accept, micros_since_epoch
from push_server.events.wire import decode
from push_server.sites.access import Principal
from push_server.sites.models import Site

SEED = 20_260_603
A_REQUEST = 100
Message = dict[str, Any]


def drawn(kept: Kept, many: int, seed: int = SEED) -> list[Message]:
    """So many messages as the API takes them, the same ones for a seed; they happen when they come in."""
    with kept.database.connect() as conn:
        conn.execute("select setseed(0.5)")
        rows = conn.execute(
            _SAMPLE, {"share": _share(conn, many), "seed": seed % 1000, "site": kept.site_id}
        ).fetchall()
    chance = random.Random(seed)
    chance.shuffle(rows)
    while len(rows) < many:
        rows += rows
    return [_message(chance, number, seed, *row) for number, row in enumerate(rows[:many])]


def _share(conn: psycopg.Connection[Any], many: int) -> float:
    """Percent of the events to draw: some more than are wanted."""
    there = conn.execute("select count(*) from event").fetchall()[0][0]
    return float(min(100.0, 105 * many / there + 0.001))


_SAMPLE = """
    select n.text, c.external_id, p.text, g.text from event e tablesample bernoulli (%(share)s) repeatable (%(seed)s)
    join term n on n.id = e.kind_id join customer c on c.site_id = %(site)s and c.id = e.customer_id
    left join term p on p.id = e.product_id left join term g on g.id = e.category_id order by e.seq
"""


def _message(
    chance: random.Random, number: int, seed: int, name: str, customer: str, product: str | None, category: str | None
) -> Message:
    properties: dict[str, Any] = {}
    if product is not None:
        properties = {"product_id": product, "price": chance.randrange(1, 97) + 0.5}
    if category is not None:
        properties["category"] = category
    if name == "Order Completed":
        line = {"product_id": f"p{chance.randrange(5000):04d}", "price": 20.5, "quantity": chance.randint(1, 3)}
        properties = {
            "order_id": f"bench-{seed}-{number}",
            "revenue": line["price"] * line["quantity"],
            "products": [line],
        }
    return {
        "type": "track",
        "event": name,
        "userId": customer,
        "messageId": f"bench-{seed}-{number}",
        "properties": properties,
    }


class Intake:
    """The product's way from a request's body to a commit, in this process."""

    def __init__(self, kept: Kept, conn: psycopg.Connection[Any]) -> None:
        """`conn` in autocommit mode."""
        self._conn, self._committer, self._loop = conn, Committer(), asyncio.new_event_loop()
        with kept.database.session(site_id=kept.site_id) as session:
            self._principal = Principal(session.get_one(Site, kept.site_id), secret=True, scopes=frozenset())

    def take(self, messages: list[Message]) -> None:
        """Commit them together, as so many requests that came at once."""
        received = micros_since_epoch(clock.now())
        submissions = [self._submission(body, received) for body in bodies(messages)]
        self._committer.commit(self._conn, submissions)
        assert not any(each.error for each in submissions)

    def _submission(self, body: bytes, received: int) -> Submission:
        items = accept(decode(body, "batch"), body, "batch", self._principal, received)
        site_id = self._principal.site.id
        assert site_id is not None
        return Submission(site_id, items, received, len(body), self._loop, self._loop.create_future(), 0.0)

    def close(self) -> None:
        """Let go of what `Submission` wants."""
        self._loop.close()


def bodies(messages: list[Message]) -> Iterator[bytes]:
    """Requests of A_REQUEST messages each."""
    for start in range(0, len(messages), A_REQUEST):
        yield json.dumps({"batch": messages[start : start + A_REQUEST]}, separators=(",", ":")).encode()
