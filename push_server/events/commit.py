"""One transaction for the messages of many requests: who they are of, what they mean, and where they are kept.

Every transaction takes what others may want in the same order (site locks, idempotency keys, dictionary, people,
orders, what followers store, messages, traits), so that two of them wait for each other and seldom deadlock; when they
do, one starts again.
Nothing here answers a request: it is noted on each submission what is wrong with it, and the writer answers after the
commit.
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import psycopg
from psycopg.pq import TransactionStatus

from push_server import clock
from push_server.customers.changes import Kind, due, note
from push_server.customers.identity import Connection, People, Person, Raced, begin_locked
from push_server.customers.traits import MAX_ATTRIBUTES, MAX_BYTES, Patch, apply_patches
from push_server.errors import Conflict, HomingError, Invalid
from push_server.events.followers import Follower, Told, follower_of
from push_server.events.intake import EPOCH, Item, micros_since_epoch
from push_server.events.models import SEQ_BLOCK
from push_server.events.order_store import Derived, derive_orders, line_terms
from push_server.events.rows import Rows
from push_server.events.terms import CATEGORY, EVENT, MAX_EVENT_NAMES, PRODUCT, Terms, Wanted

# Of the transaction, not the connection: a pooler in transaction mode has no other place for them.
_LIMITS = "set local lock_timeout = '10s'; set local statement_timeout = '20s'"
_TRIES = 10
_WARY = 200
"""How many transactions look for stored messages beforehand once one has met such a message. Usually none comes twice,
and looking costs a fifth of the database's time, while the unique index finds out in any case."""


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


class _TooLarge(Exception):
    """With the traits that these submissions tell, some customers would be larger than they may be."""

    def __init__(self, submissions: list[Submission]) -> None:
        self.submissions = sorted(submissions, key=lambda one: one.size)


class Committer:
    """Commits groups of submissions over one connection after another; remembers what is safe to remember."""

    def __init__(self) -> None:
        self.terms = Terms()
        self._sequence: list[range] = []
        self._wary = 0

    def commit(self, conn: Connection, submissions: list[Submission]) -> None:
        """All of them in one transaction, on a connection in autocommit mode: it is begun and ended here.

        Raises psycopg.Error, having rolled back, when it cannot be.
        """
        alone: set[int] = set()
        tries, are_all_asked = 0, True
        while True:
            for submission in submissions:
                submission.error, submission.replayed = None, False
            if not submissions:
                return
            try:
                self._write(conn, submissions, alone)
                conn.execute("commit")
                self.terms.keep()
                self._wary = max(0, self._wary - 1)
                return
            except _NeedsSite as need:
                alone.add(need.site_id)
            except _TooLarge as error:
                # The others may be small enough without the largest; that is tried once.
                refused = error.submissions[-1:] if are_all_asked else error.submissions
                submissions = [one for one in submissions if one not in refused]
                are_all_asked = False
                for one in refused:
                    one.error = _too_many_attributes()
            except (
                Raced,
                psycopg.errors.UniqueViolation,
                psycopg.errors.DeadlockDetected,
                psycopg.errors.SerializationFailure,
            ) as error:
                tries += 1
                if tries == _TRIES:
                    raise psycopg.OperationalError("other writers are always faster") from error
                if (
                    isinstance(error, psycopg.Error)
                    and error.diag.constraint_name == "event_body_message"
                    and not self._wary
                ):
                    self._wary = _WARY
                else:
                    alone |= {submission.site_id for submission in submissions}  # so that it cannot happen for ever
            finally:
                self.terms.forget()
                if conn.info.transaction_status is not TransactionStatus.IDLE and not conn.closed:
                    conn.execute("rollback")

    def _write(self, conn: Connection, submissions: list[Submission], alone: set[int]) -> None:
        sites = sorted({submission.site_id for submission in submissions})
        conn.execute(begin_locked([(site_id, site_id in alone) for site_id in sites], _LIMITS))
        stored = _stored_keys(conn, submissions) if self._wary else set()
        _claim_keys(conn, submissions)
        fresh = _without_duplicates(submissions, stored)
        rows = Rows()
        for site_id in sites:
            self._write_site(conn, site_id, [pair for pair in fresh if pair[0].site_id == site_id], rows, alone)
        rows.write(conn)

    def _write_site(
        self, conn: Connection, site_id: int, fresh: list[tuple[Submission, Item]], rows: Rows, alone: set[int]
    ) -> None:
        refused = self.terms.learn(conn, site_id, _wanted([item for _, item in fresh]))
        if refused:
            fresh = _refuse_names(conn, fresh, refused)
        people = People(conn, site_id)
        people.load(
            {item.external_id for _, item in fresh if item.external_id is not None},
            {item.anonymous_id for _, item in fresh if item.anonymous_id is not None},
        )
        whose = [_person(people, item) for _, item in fresh]
        if people.merges and site_id not in alone:
            raise _NeedsSite(site_id)
        people.store()
        changes = _Changes(people.changes)
        orders: list[Derived] = []
        followed: dict[Follower, list[Told]] = {}
        patches: dict[int, Patch] = {}
        names, products, categories = (self.terms.of(site_id, what) for what in (EVENT, PRODUCT, CATEGORY))

        def keep(item: Item, customer: int, seq: int, received: int) -> None:
            kind = names[item.name or ""]
            product = None if item.product_id is None else products[item.product_id]
            category = None if item.category is None else categories[item.category]
            rows.event(item, kind, customer, seq, product, category)
            rows.body(item, site_id, seq, received, whole=True)
            changes.add(customer, kind, item.ts)

        for (submission, item), one, seq in zip(fresh, whose, self._draw(conn, len(fresh)), strict=True):
            person = one if one.into is None else one.final()
            if item.traits or (item.time_zone is not None and item.time_zone != person.time_zone):
                _patch(patches, person, item)
            if item.fact is not None and (follower := follower_of(item.name or "")) is not None:
                followed.setdefault(follower, []).append(Told(item.fact, person.id, item.ts, seq))
            if item.order is not None:
                orders.append(Derived(item.order, person.id, item.ts, seq, item, submission.received))
            if item.name is None:
                if item.message_id is not None:
                    rows.body(item, site_id, seq, submission.received, whole=False)
            elif item.order is None or item.order.kind != "completed":
                keep(item, person.id, seq, submission.received)
        if orders:
            stored = derive_orders(conn, site_id, orders, self.terms)
            firsts = {first.seq for first in stored.completed}
            for order in orders:
                if order.seq in firsts:
                    keep(order.item, order.customer, order.seq, order.received)
                elif order.fact.kind == "completed":
                    rows.body(order.item, site_id, order.seq, order.received, whole=False)
            changes.pairs.update((customer, Kind.ORDERS) for customer in stored.customers)
            changes.instants.update(stored.instants)
        for follower, told in followed.items():
            follower.write(conn, site_id, told)
        if beyond := apply_patches(conn, site_id, patches):
            asked = zip(fresh, whose, strict=True)
            raise _TooLarge([pair[0] for pair, person in asked if pair[1].traits and person.final().id in beyond])
        changes.pairs.update((customer, Kind.ATTRIBUTES) for customer in patches)
        changes.write(conn, site_id)

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


class _Changes:
    """What is noted of a transaction. `instants` (customer, microseconds since EPOCH) matter if they lie ahead."""

    def __init__(self, pairs: list[tuple[int, int]]) -> None:
        self.pairs = set(pairs)
        self.instants: set[tuple[int, int]] = set()
        self._now = micros_since_epoch(clock.now())

    def add(self, customer: int, kind: int, ts: int) -> None:
        """An event of this kind at `ts`."""
        self.pairs.add((customer, kind))
        if ts > self._now:
            self.instants.add((customer, ts))

    def write(self, conn: Connection, site_id: int) -> None:
        note(conn, site_id, self.pairs)
        ahead = [(customer, EPOCH + timedelta(microseconds=ts)) for customer, ts in self.instants if ts > self._now]
        if ahead:
            due(conn, site_id, ahead)


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


def _stored_keys(conn: Connection, submissions: list[Submission]) -> set[bytes]:
    named = [item.key.hex() for one in submissions for item in one.items if item.message_id is not None]
    if not named:
        return set()
    # The array is spelled here: hexadecimal needs none of the quoting that takes most of the time.
    stored = conn.execute(
        "select message_key from event_body where message_key = any(%s::uuid[])", [f"{{{','.join(named)}}}"]
    )
    return {key.bytes for (key,) in stored.fetchall()}


def _without_duplicates(submissions: list[Submission], stored: set[bytes]) -> list[tuple[Submission, Item]]:
    """The messages whose keys are not stored yet, each once, in the order of arrival."""
    fresh = []
    for submission in submissions:
        if not submission.replayed:
            for item in submission.items:
                if item.key not in stored:
                    stored.add(item.key)
                    fresh.append((submission, item))
    return fresh


def _too_many_attributes() -> Invalid:
    return Invalid(
        f"A customer takes at most {MAX_ATTRIBUTES} attributes and {MAX_BYTES} bytes of them; with these traits one"
        " would have more. Take some away by setting them to null.",
        code="too_many_attributes",
    )


def _patch(patches: dict[int, Patch], person: Person, item: Item) -> None:
    patch = patches.setdefault(person.id, Patch())
    patch.traits |= item.traits or {}
    if item.time_zone is not None:
        patch.time_zone = person.time_zone = item.time_zone


def _wanted(items: list[Item]) -> Wanted:
    """What the messages need of the dictionary, order lines included."""
    wanted = {
        EVENT: {item.name for item in items if item.name is not None},
        PRODUCT: {item.product_id for item in items if item.product_id is not None},
        CATEGORY: {item.category for item in items if item.category is not None},
    }
    for item in items:
        if item.order is not None:
            for what, texts in line_terms(item.order.lines or []).items():
                wanted[what] |= texts
    return wanted


def _refuse_names(
    conn: Connection, fresh: list[tuple[Submission, Item]], refused: set[str]
) -> list[tuple[Submission, Item]]:
    """Turn away whole the requests with a name too many; their idempotency keys stay unused."""
    for submission, item in fresh:
        if item.name in refused:
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
