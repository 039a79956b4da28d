"""One transaction for the messages of many requests: who they are of, what they mean, and where they are kept.

Order within a transaction: site locks, idempotency keys, duplicates, dictionary, people, orders, COPY, traits. Nothing
here answers a request; it only notes on each submission what is wrong with it, and the writer answers after the commit.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

import psycopg

from push_server.customers.identity import Connection, People, Person, Raced, lock_site
from push_server.customers.traits import Patch, apply_patches
from push_server.errors import Conflict, HomingError, Invalid
from push_server.events.intake import Item
from push_server.events.models import SEQ_BLOCK
from push_server.events.order_store import Derived, derive_orders
from push_server.events.rows import Rows
from push_server.events.terms import MAX_EVENT_NAMES, Term, Terms

_TRIES = 10


@dataclass(slots=True, eq=False)
class Submission:
    """One request's messages on their way into the database. `error` is what the request is told instead of success."""

    site_id: int
    items: list[Item]
    received: int
    size: int
    loop: asyncio.AbstractEventLoop
    done: "asyncio.Future[None]"
    until: float
    idempotency_key: str | None = None
    fingerprint: bytes = b""
    error: HomingError | None = None
    replayed: bool = False


class _NeedsSite(Exception):
    """An anonymous customer's stored past must move: the site's lock is needed for this transaction alone."""

    def __init__(self, site_id: int) -> None:
        self.site_id = site_id


class Committer:
    """Commits groups of submissions over one connection after another; remembers what is safe to remember."""

    def __init__(self) -> None:
        self.terms = Terms()
        self._sequence: list[range] = []

    def commit(self, conn: Connection, submissions: list[Submission]) -> None:
        """All of them in one transaction. Raises psycopg.Error, having rolled back, when it cannot be."""
        alone: set[int] = set()
        tries = 0
        while True:
            for submission in submissions:
                submission.error, submission.replayed = None, False
            try:
                with conn.transaction():
                    self._write(conn, submissions, alone)
                self.terms.keep()
                return
            except _NeedsSite as need:
                alone.add(need.site_id)
            except (
                Raced,
                psycopg.errors.UniqueViolation,
                psycopg.errors.DeadlockDetected,
                psycopg.errors.SerializationFailure,
            ) as error:
                tries += 1
                if tries == _TRIES:
                    raise psycopg.OperationalError("other writers are always faster") from error
            finally:
                self.terms.forget()

    def _write(self, conn: Connection, submissions: list[Submission], alone: set[int]) -> None:
        sites = sorted({submission.site_id for submission in submissions})
        for site_id in sites:
            lock_site(conn, site_id, exclusive=site_id in alone)
        _claim_keys(conn, submissions)
        fresh = _without_duplicates(conn, submissions)
        refused = self.terms.learn(conn, _terms_of(fresh))
        if refused:
            fresh = _refuse_names(conn, fresh, refused)
        rows = Rows()
        for site_id in sites:
            mine = [(submission, item) for submission, item in fresh if submission.site_id == site_id]
            if mine:
                self._write_site(conn, site_id, mine, rows, site_id in alone)
        rows.write(conn)

    def _write_site(
        self, conn: Connection, site_id: int, mine: list[tuple[Submission, Item]], rows: Rows, alone: bool
    ) -> None:
        people = People(conn, site_id)
        people.load(
            {item.external_id for _, item in mine if item.external_id is not None},
            {item.anonymous_id for _, item in mine if item.anonymous_id is not None},
        )
        whose = [_person(people, item) for _, item in mine]
        if people.merges and not alone:
            raise _NeedsSite(site_id)
        people.store()
        numbers = self._draw(conn, len(mine))
        orders, patches = [], dict[int, Patch]()
        terms = self.terms
        for (submission, item), person, seq in zip(mine, whose, numbers, strict=True):
            customer = person.final().id
            if item.traits is not None or item.time_zone is not None:
                patch = patches.setdefault(customer, Patch())
                patch.time_zone = item.time_zone or patch.time_zone
                patch.traits |= item.traits or {}
            if item.name is None:
                if item.message_id is not None:
                    rows.body(item, site_id, seq, submission.received)
                continue
            rows.body(item, site_id, seq, submission.received)
            if item.order is not None:
                orders.append(Derived(item.order, customer, item.ts, seq, item))
                if item.order.kind == "completed":
                    continue
            self._event(rows, site_id, item, customer, seq)
        if orders:
            for first in derive_orders(conn, site_id, orders, terms):
                self._event(rows, site_id, first.item, first.customer, first.seq)
        apply_patches(conn, site_id, patches)

    def _event(self, rows: Rows, site_id: int, item: Item, customer: int, seq: int) -> None:
        assert item.name is not None
        terms = self.terms
        rows.event(
            item,
            terms[site_id, "event", item.name],
            customer,
            seq,
            None if item.product_id is None else terms[site_id, "product", item.product_id],
            None if item.category is None else terms[site_id, "category", item.category],
        )

    def _draw(self, conn: Connection, count: int) -> list[int]:
        """Numbers for `count` rows, ascending within this process; drawn in blocks, so gaps are normal."""
        have = sum(map(len, self._sequence))
        if have < count:
            blocks = -(-(count - have) // SEQ_BLOCK)
            drawn = conn.execute("select nextval('event_seq') from generate_series(1, %s)", [blocks]).fetchall()
            self._sequence += [range(start, start + SEQ_BLOCK) for (start,) in drawn]
        numbers: list[int] = []
        while len(numbers) < count:
            block = self._sequence[0]
            part = block[: count - len(numbers)]
            numbers += part
            if len(part) == len(block):
                self._sequence.pop(0)
            else:
                self._sequence[0] = block[len(part) :]
        return numbers


def _person(people: People, item: Item) -> Person:
    external, anonymous = item.external_id, item.anonymous_id
    if not item.link or anonymous is None or external is None:
        return people.find(external, anonymous)
    return people.link(anonymous, external)


def _claim_keys(conn: Connection, submissions: list[Submission]) -> None:
    """Idempotency-Key: the same request again is answered without being stored again; another is refused."""
    keyed = [submission for submission in submissions if submission.idempotency_key is not None]
    for submission in sorted(keyed, key=lambda one: (one.site_id, one.idempotency_key or "")):
        place = [submission.site_id, submission.idempotency_key]
        claimed = conn.execute(
            "insert into idempotency_key (site_id, key, fingerprint, status, body)"
            " values (%s, %s, %s, 200, '{\"success\":true}') on conflict do nothing",
            [*place, submission.fingerprint],
        )
        if claimed.rowcount:
            continue
        stored = conn.execute("select fingerprint from idempotency_key where site_id = %s and key = %s", place)
        submission.replayed = True
        if stored.fetchall()[0][0] != submission.fingerprint:
            submission.error = Conflict(
                "This Idempotency-Key was used with another request. Use a new key for a new request.",
                code="idempotency_key_reused",
            )


def _without_duplicates(conn: Connection, submissions: list[Submission]) -> list[tuple[Submission, Item]]:
    """The messages that are not stored yet, each once, in the order of arrival."""
    named = [item.key for one in submissions if not one.replayed for item in one.items if item.message_id is not None]
    seen: set[bytes] = set()
    if named:
        stored = conn.execute(
            "select message_key from event_body where message_key = any(%s::uuid[])", [[key.hex() for key in named]]
        )
        seen = {row[0].bytes for row in stored}
    fresh = []
    for submission in submissions:
        if not submission.replayed:
            for item in submission.items:
                if item.key not in seen:
                    seen.add(item.key)
                    fresh.append((submission, item))
    return fresh


def _terms_of(fresh: Iterable[tuple[Submission, Item]]) -> set[Term]:
    terms: set[Term] = set()
    for submission, item in fresh:
        if item.name is not None:
            terms.add((submission.site_id, "event", item.name))
            if item.product_id is not None:
                terms.add((submission.site_id, "product", item.product_id))
            if item.category is not None:
                terms.add((submission.site_id, "category", item.category))
    return terms


def _refuse_names(
    conn: Connection, fresh: list[tuple[Submission, Item]], refused: set[Term]
) -> list[tuple[Submission, Item]]:
    """Turn away whole the requests with a name too many; their idempotency keys stay unused."""
    for submission, item in fresh:
        if item.name is not None and (submission.site_id, "event", item.name) in refused:
            submission.error = Invalid(
                f"The site has {MAX_EVENT_NAMES} event names already, so {item.name!r} is not taken. Put ids into "
                "properties, not into the event's name.",
                code="too_many_event_names",
            )
            conn.execute(
                "delete from idempotency_key where site_id = %s and key = %s",
                [submission.site_id, submission.idempotency_key],
            )
    return [(submission, item) for submission, item in fresh if submission.error is None]
