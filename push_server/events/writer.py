"""Group commit: a thread commits what all requests of this process brought, and each is answered after its commit.

While one transaction is on its way the next group gathers, so that groups grow with the load and nobody waits for a
timer. A second thread helps when a good deal waits, so that PostgreSQL works on one group while the other is being
packed; below that it would only make groups smaller.

A group that the database refuses for its data is split, and only the request at fault is turned away. When the
connection is lost, even in the middle of a commit, the group is sent again over a new one: the keys of its messages
are already drawn, so what did get committed is recognised and not stored twice.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

import psycopg

from push_server.customers.identity import Connection
from push_server.db import prepare_threshold
from push_server.errors import HomingError, Invalid, Unavailable
from push_server.events.commit import Committer, Submission

log = logging.getLogger(__name__)

PATIENCE = 5.0
"""Seconds for which a request waits for a database that does not answer."""
MAX_GROUP = 256 << 10
"""Bytes of bodies in one transaction (or one request): of larger groups one thread would have all, the other none."""
MAX_PENDING = 64 << 20
"""Bytes of bodies in the queue."""
WORTH_HELP = 64 << 10
"""Bytes of bodies that wait before a second thread takes them."""


class Writer:
    """Takes submissions from event loops, commits them in threads of its own, each over its own connection."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._waiting: deque[Submission] = deque()
        self._waiting_size = 0
        self._pending = 0
        self._lock = threading.Lock()
        self._some, self._much = threading.Condition(self._lock), threading.Condition(self._lock)
        self._closing = False
        self._threads: list[threading.Thread] = []

    def submit(self, submission: Submission) -> None:
        """Queue it; its `done` is resolved after the commit. Unavailable when too much waits already."""
        with self._lock:
            if self._closing:
                raise Unavailable("This server is shutting down; send it again.", retry_after=1)
            if self._pending + submission.size > MAX_PENDING:
                raise Unavailable("More events wait than this server can take; send them again.", retry_after=2)
            if not self._threads:
                self._start()
            self._pending += submission.size
            self._waiting_size += submission.size
            self._waiting.append(submission)
            self._some.notify()
            if self._waiting_size >= WORTH_HELP:
                self._much.notify()

    def close(self) -> None:
        """Commit what waits, then stop."""
        with self._lock:
            self._closing = True
            self._some.notify_all()
            self._much.notify_all()
        for thread in self._threads:
            thread.join()

    @property
    def waiting(self) -> int:
        """How many requests wait to be taken into a transaction."""
        return len(self._waiting)

    def _start(self) -> None:
        for enough, wanted in ((self._some, 1), (self._much, WORTH_HELP)):
            thread = threading.Thread(target=self._run, args=(enough, wanted), name="ingest-writer", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self, enough: threading.Condition, wanted: int) -> None:
        hand = _Hand(self._url)
        while group := self._take(enough, wanted):
            self._commit(hand, group)
        hand.let_go()

    def _take(self, enough: threading.Condition, wanted: int) -> list[Submission]:
        with self._lock:
            while self._waiting_size < wanted and not self._closing:
                enough.wait()
            group: list[Submission] = []
            size = 0
            while self._waiting and (not group or size + self._waiting[0].size <= MAX_GROUP):
                group.append(self._waiting.popleft())
                size += group[-1].size
            self._waiting_size -= size
            return group

    def _commit(self, hand: "_Hand", group: list[Submission]) -> None:
        delay = 0.02
        while group:
            try:
                hand.committer.commit(hand.connection(), group)
            except psycopg.Error as error:
                if _is_of_data(error):
                    if len(group) > 1:
                        for one in group:
                            self._commit(hand, [one])
                        return
                    group[0].error = _refusal(error)
                    break
                log.warning("events wait, since the database does not answer: %s", error)
                hand.let_go()
                group = self._give_up_late(group)
                time.sleep(delay)
                delay = min(2 * delay, 0.5)
            except Exception:
                log.exception("a group of %d requests could not be stored", len(group))
                hand.let_go()
                for one in group:
                    one.error = HomingError("The events could not be stored. The server's log says more.")
                break
            else:
                break
        self._answer(group)

    def _give_up_late(self, group: list[Submission]) -> list[Submission]:
        now = time.monotonic()
        late = [one for one in group if one.until < now or self._closing]
        for one in late:
            one.error = Unavailable("The database does not answer; send the events again in a moment.", retry_after=2)
        self._answer(late)
        return [one for one in group if one not in late]

    def _answer(self, group: list[Submission]) -> None:
        with self._lock:
            self._pending -= sum(one.size for one in group)
        for loop in {one.loop for one in group}:
            mine = [one for one in group if one.loop is loop]
            try:
                loop.call_soon_threadsafe(_resolve(mine))
            except RuntimeError:  # the loop is closed: nobody waits any more
                continue


class _Hand:
    """What one thread writes with."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._conn: Connection | None = None
        self.committer = Committer()

    def connection(self) -> Connection:
        if self._conn is None or self._conn.closed:
            self._conn = psycopg.connect(
                self._url,
                autocommit=True,
                connect_timeout=3,
                tcp_user_timeout=15_000,
                prepare_threshold=prepare_threshold(),
            )
        return self._conn

    def let_go(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None


def _resolve(group: list[Submission]) -> Callable[[], None]:
    def resolve() -> None:
        for one in group:
            if not one.done.done():
                one.done.set_result(None)

    return resolve


def _is_of_data(error: psycopg.Error) -> bool:
    """Whether what was sent is at fault: data, constraints, or a limit of the program (SQLSTATE class 54)."""
    limit = (error.sqlstate or "").startswith("54")
    return limit or isinstance(error, (psycopg.DataError, psycopg.IntegrityError))


def _refusal(error: psycopg.Error) -> HomingError:
    log.info("events that the database refuses: %s", error)
    return Invalid(
        "A value cannot be stored: text must be valid Unicode without NUL, numbers within their range, objects not "
        "nested too deeply.",
        code="unstorable_value",
    )
