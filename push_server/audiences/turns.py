"""Stored instants: when conditions can turn that no index over facts finds, for each customer whose facts say so.

They follow from a customer's facts alone, and are found anew whenever those change: so none has to be kept up as time
passes, and those of a condition serve all segments that have it. A condition that is new is filled by and by, some
customers a step; until it is done, its segments are evaluated whole again and again.
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ARRAY, Integer, any_, cast, delete, literal, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError

from push_server.audiences.crossings import MOST, Crossings
from push_server.audiences.models import customer_turn
from push_server.audiences.program import Key, Program
from push_server.audiences.rules import SiteRules
from push_server.customers.changes import Kind
from push_server.db import SiteSession
from segments.core import Leaf
from segments.sql_instants import instants_of

log = logging.getLogger(__name__)

FILLING: Final = 0.25
"""Seconds of a step after which no further customers are filled in."""
_FEWEST, _MOST_FILLED = 1000, 8000  # customers in one statement: so many at first, and more while that is quick
_QUICK: Final = 0.05  # seconds
_MOST_FORGOTTEN: Final = 20_000  # rows in one step
_PAUSE: Final = 300.0  # seconds until a statement that failed is tried again
_TICK: Final = timedelta(microseconds=1)

_not_before: dict[int, float] = {}


@dataclass(slots=True)
class Turns:
    """A site's conditions with stored instants."""

    segments: dict[int, set[int]] = field(default_factory=dict)
    """The segments behind each that is filled, by its row id."""
    behind: set[int] = field(default_factory=set)
    """Segments with one that is not filled yet."""
    filled: set[int] = field(default_factory=set)
    """Segments behind those that were filled just now: what turned before is unknown."""


def keep_turns(session: SiteSession, program: Program, changes: Mapping[int, set[Key]], at: datetime) -> Turns:
    """Store what lies ahead of these customers at `at`, as far as their changes concern it, and fill what is new.

    The caller holds the site's membership lock.
    """
    found = Turns()
    stored = {row.leaf: row for row in session.sql(_STORED, {"site": session.site_id})}
    rules, until = SiteRules(session), time.monotonic() + FILLING
    for leaf, timed in program.timed.items():
        row = stored.pop(timed.key, None)
        if row is None:
            row = session.sql(_NEW, {"site": session.site_id, "leaf": timed.key}).one()
        reads = {*timed.reads, Kind.EVERYTHING}
        customers = [customer for customer, keys in changes.items() if not keys.isdisjoint(reads)]
        if not _keep(_Store(session, rules, row.id, leaf, at), customers, row.filled_to, until):
            found.behind |= timed.segments
        elif row.filled_to is None:
            found.segments[row.id] = timed.segments
        else:
            found.filled |= timed.segments
    for row in stored.values():
        _forget(session, row.id)
    return found


def forget_turns(session: SiteSession) -> None:
    """All are to be filled anew: the clock was set back, or local dates are of another zone."""
    session.sql(text("update timed_leaf set filled_to = -1 where site_id = :site"), {"site": session.site_id})


def turned(session: SiteSession, turns: Turns, since: datetime, until: datetime, found: Crossings) -> None:
    """Add to `found` those for whom such an instant has come in (since, until]."""
    if not turns.segments or since >= until:
        return
    place = {"ids": list(turns.segments), "since": since - _TICK, "until": until, "most": MOST + 1}
    for row in session.sql(_TURNED, place):
        found.add(row.customers, turns.segments[row.leaf_id])


@dataclass(frozen=True, slots=True)
class _Store:
    """What is stored of one condition, by its row id."""

    session: SiteSession
    rules: SiteRules
    id: int
    leaf: Leaf
    at: datetime

    def write(self, customers: list[int]) -> None:
        """What lies ahead of these customers, in place of what was stored."""
        if not customers:
            return
        turn, given = customer_turn.c, literal(customers, ARRAY(Integer))
        self.session.sql(delete(customer_turn).where(turn.leaf_id == self.id, turn.customer_id == any_(given)))
        found = instants_of(self.leaf, self.rules.binding(), self.at).subquery().c
        # Through a subquery, so that the planner does not weigh each of them against its statistics.
        asked = cast(select(given).scalar_subquery(), ARRAY(Integer))
        ahead = select(literal(self.id, Integer), found.customer_id, found.at).where(found.customer_id == any_(asked))
        rows = insert(customer_turn).from_select(["leaf_id", "customer_id", "at"], ahead)
        self.session.sql(rows.on_conflict_do_nothing())

    def empty(self) -> None:
        """It is to be filled from the beginning."""
        self.session.sql(_FILLED, {"id": self.id, "to": -1})

    def fill(self, filled_to: int, until: float) -> bool:
        """Those of further customers, until the time is over; whether these were the last."""
        many = _FEWEST
        while True:
            began = time.monotonic()
            place = {"site": self.session.site_id, "after": filled_to, "many": many}
            customers = list(self.session.sql(_NEXT, place).scalars())
            self.write(customers)
            is_last = len(customers) < many
            filled_to = filled_to if is_last else customers[-1]
            self.session.sql(_FILLED, {"id": self.id, "to": None if is_last else filled_to})
            now = time.monotonic()
            if is_last or now > until:
                return is_last
            if now - began < _QUICK:
                many = min(2 * many, _MOST_FILLED)


def _keep(store: _Store, customers: list[int], filled_to: int | None, until: float) -> bool:
    """Write what these customers' changes ask for and go on with filling; whether all are filled in.

    A statement that fails must not keep other segments from being fresh: it is tried again from the beginning, later.
    """
    if filled_to is None and not customers:
        return True
    if _not_before.get(store.id, 0) > time.monotonic():
        if filled_to != -1:  # the step that failed was lost as a whole, or another process has gone on
            store.empty()  # since what changes now is not written
        return False
    try:
        with store.session.begin_nested():
            store.write(customers)
            return filled_to is None or store.fill(filled_to, until)
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        log.warning("when a condition of site %s turns cannot be stored for now: %s", store.session.site_id, error)
        _not_before[store.id] = time.monotonic() + _PAUSE
        store.empty()
        return False


def _forget(session: SiteSession, leaf_id: int) -> None:
    """No rule has it any more."""
    place = {"id": leaf_id, "most": _MOST_FORGOTTEN}
    if session.sql(_FORGET, place).rowcount < _MOST_FORGOTTEN:
        session.sql(text("delete from timed_leaf where id = :id"), place)


_STORED = text("select id, leaf, filled_to from timed_leaf where site_id = :site")
_NEW = text("insert into timed_leaf (site_id, leaf) values (:site, :leaf) returning id, filled_to")
_NEXT = text("select id from customer where site_id = :site and id > :after order by id limit :many")
_FILLED = text("update timed_leaf set filled_to = :to where id = :id")
_FORGET = text(
    "delete from customer_turn where ctid = any(array(select ctid from customer_turn where leaf_id = :id limit :most))"
)
_TURNED = text(
    """
    select w.leaf_id, array_agg(distinct t.customer_id) as customers from unnest(cast(:ids as int[])) as w (leaf_id)
    cross join lateral (select customer_id from customer_turn where leaf_id = w.leaf_id and at > :since and at <= :until
                        limit :most) t
    group by w.leaf_id
    """
)
