"""Sending a chunk: claim → prepare → post → settle, with the network busy while the next messages are encrypted."""

import logging
import time
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from push_server import clock, security
from push_server.db import Database
from push_server.delivery.audience import freshen
from push_server.delivery.claim import LEASE, RENEW_AFTER, Chunk, claim, is_stopped, look_again, renew
from push_server.delivery.gate import Gate
from push_server.delivery.models import DeliveryState, Reason
from push_server.delivery.prepare import Claimed, prepare
from push_server.delivery.settle import AWAY, Settlement, write
from push_server.delivery.vapid_pause import Pause, pauses
from push_server.errors import StartupError
from push_server.webpush.client import PushClient
from push_server.webpush.message import PushMessage, PushResponse

log = logging.getLogger(__name__)

SETTLE_EVERY: Final = 1.0
"""Seconds between two writes of a chunk, so that a killed worker loses little of what it knows."""
SETTLE_AT: Final = 500
"""Results that are written without waiting for that."""
LOOK_EVERY: Final = 0.5
"""Seconds between two looks whether the dispatch was paused or cancelled. That is to take effect within two, of which
what is under way to a slow push service may take the rest."""


@lru_cache
def push_client() -> PushClient:
    """This process's connections to push services; they outlive a job. For the worker's one thread."""
    return PushClient()


def send(database: Database, dispatch_id: int, ids: list[int]) -> int:
    """Send those of a dispatch's deliveries that are queued; returns how many there were.

    Any number of workers may be given the same ids: each delivery is claimed by one.
    """
    with database.session() as session:
        look_again(session, dispatch_id)
    with database.session() as session:
        chunk = claim(session, dispatch_id, ids)
        paused = pauses(session) if chunk else []
    if chunk is None:
        return 0
    sending = _Sending(database, chunk, paused)
    try:
        for response in push_client().send(sending.messages()):
            sending.answered(response)
    except AWAY:
        sending.give_back_rest()
        raise
    finally:
        sending.finish()
    return len(chunk.rows)


class _Sending:
    """One chunk on its way: which deliveries are open, and which results are not written yet."""

    def __init__(self, database: Database, chunk: Chunk, paused: list[Pause]) -> None:
        self._database, self._chunk, self._context = database, chunk, chunk.context
        self._open: dict[int, Claimed] = {row.id: row for row in chunk.rows}
        self._results: list[Settlement] = []
        self._stopped = False
        self._reached = 0  # the delivery that was handed out last; they go by their ids
        self._gate = Gate(database, chunk, paused)
        self._flushed = self._leased = self._looked = time.monotonic()
        self._renew_at = self._flushed  # not sooner, since a try has failed
        self._next = self._flushed  # when to see to what is repeated; asked twice a message

    def messages(self) -> Iterator[PushMessage]:
        """The chunk's messages, made as the client asks for them; what is not to be posted is settled on the way."""
        for delivery_id in [row.id for row in self._chunk.rows]:
            self._keep_up()
            self._reached = delivery_id
            row = self._open.get(delivery_id)
            if row is None:
                continue  # taken over by another worker while this one stood still
            held = self._give_back(row) if self._stopped else self._gate.hold_back(row)
            prepared = held or self._prepare(row)
            if isinstance(prepared, PushMessage):
                yield prepared
            else:
                self._gate.not_posted(row)
                self._close(prepared)

    def answered(self, response: PushResponse) -> None:
        """Note what a push service said."""
        row = self._open.get(response.ref)
        if row is not None:
            result = self._gate.answered(row, response)
            if result is not None:
                self._close(result)
        self._keep_up()

    def flush(self) -> None:
        """Write what is known."""
        self._flushed = time.monotonic()
        for result in self._gate.rejected():
            self._close(result)
        if self._results:
            results, self._results = self._results, []
            write(self._database, self._context.site_id, results)

    def give_back_rest(self) -> None:
        """What was claimed and not handed out: nobody need wait for the end of its lease, or take it for posted."""
        for row in [row for row in self._open.values() if row.id > self._reached]:
            self._close(self._give_back(row))

    def finish(self) -> None:
        """Write what is known, and tell the other workers."""
        self.flush()
        self._gate.close()

    def _prepare(self, row: Claimed) -> PushMessage | Settlement:
        try:
            auth = security.unseal(row.auth, "subscription.auth") if row.auth is not None else b""
            return prepare(row, self._context, auth, clock.now())
        except StartupError:
            raise  # this worker has the wrong key: the fault of no delivery
        except Exception:
            log.exception("delivery %s cannot be prepared", row.id)
            return Settlement(row.id, row.attempts, DeliveryState.FAILED, Reason.PUSH_SERVICE_ERROR)

    def _give_back(self, row: Claimed) -> Settlement:
        return Settlement(row.id, row.attempts, DeliveryState.QUEUED, due_at=clock.now())

    def _close(self, result: Settlement) -> None:
        if self._open.pop(result.delivery_id, None) is not None:  # a rejected one may be another worker's by now
            self._results.append(result)

    def _keep_up(self) -> None:
        now = time.monotonic()
        if now < self._next and len(self._results) < SETTLE_AT:
            return
        if len(self._results) >= SETTLE_AT or now - self._flushed >= SETTLE_EVERY:
            self.flush()
        if now - self._looked >= LOOK_EVERY and not self._stopped:
            self._looked = now
            self._look()
        if now >= max(self._leased + RENEW_AFTER, self._renew_at) and self._open:
            self._renew(now)
        self._next = min(
            self._flushed + SETTLE_EVERY, self._looked + LOOK_EVERY, max(self._leased + RENEW_AFTER, self._renew_at)
        )

    def _renew(self, now: float) -> None:
        """Keep the lease while it lasts, also when the database is away for some seconds."""
        self._renew_at = now + LOOK_EVERY
        try:
            self._load_anew()
        except AWAY as error:
            if now - self._leased >= LEASE.total_seconds() - RENEW_AFTER:
                raise  # it ends soon: who takes over must find nothing under way
            log.warning("a lease waits for the database: %s", str(error).strip().partition("\n")[0])
        else:
            self._leased = now

    def _load_anew(self) -> None:
        """Keep the lease, and see anew what is true of those that are not handed out yet."""
        with self._database.session(site_id=self._context.site_id) as session:
            freshen(session)
        with self._database.session(site_id=self._context.site_id) as session:
            chunk = renew(session, self._chunk, self._open.values())
        self._context = chunk.context
        self._open = {row.id: row if row.id > self._reached else self._open[row.id] for row in chunk.rows}

    def _look(self) -> None:
        try:
            with self._database.session(site_id=self._context.site_id) as session:
                self._stopped = is_stopped(session, self._chunk.dispatch_id, self._chunk.resumed_at)
        except AWAY as error:  # the lease says how long one may go on
            log.warning("whether dispatch %s was stopped is not known: %s", self._chunk.dispatch_id, error)
