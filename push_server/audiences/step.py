"""One step that brings a site's segments up to date, in one transaction: whoever dies in it has done nothing.

Notes of changes are taken, and customers found whose facts cross an edge of time since the last step; of these the
rules that can be touched are judged, and the difference is written. Those whose edges are crowded are evaluated whole;
where that is not quick, it is left to the background.
"""

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from push_server import clock
from push_server.audiences.borders import forget_borders, refresh
from push_server.audiences.crossings import Crossings, crossings
from push_server.audiences.dates import change_dates, forget_dates, keep_dates
from push_server.audiences.diff import Diff, mark_reachable
from push_server.audiences.judge import judge
from push_server.audiences.models import Segment, SegmentState
from push_server.audiences.program import Key, Program, program_of
from push_server.audiences.rules import Thresholds
from push_server.audiences.turns import Turns, forget_turns, keep_turns, turned
from push_server.audiences.waiting import begin, remember_judged
from push_server.audiences.whole import due_segments, evaluate
from push_server.customers.changes import NOBODY, Kind
from push_server.db import SiteSession
from push_server.errors import HomingError
from push_server.settings import settings
from push_server.sites.models import Site

log = logging.getLogger(__name__)

MOST_CUSTOMERS: Final = 20_000
"""Noted in one step; what is beyond is for the next one."""
WHOLE_BUDGET: Final = 0.5
"""Seconds after which no further segment is evaluated whole in a step."""
QUICK: Final = 1.0
"""Seconds that one may take to be evaluated in a step, since others' members wait for it."""
SLOWEST_SHARE: Final = 5
"""A segment that waits for stored instants rests this many times as long as finding its members takes."""
SHORTEST_REST: Final = timedelta(seconds=1)
_LOCK: Final = 3 << 56  # apart from other advisory locks


@dataclass(slots=True)
class _Work:
    """What a step has to look at: the kinds of changes by customer, and time's."""

    changes: dict[int, set[Key]] = field(default_factory=dict)
    crossed: Crossings = field(default_factory=Crossings)
    turns: Turns = field(default_factory=Turns)
    is_catalogue_changed: bool = False

    @property
    def customers(self) -> set[int]:
        return {*self.changes, *self.crossed.customers}

    @property
    def keys(self) -> set[Key]:
        return set().union(*self.changes.values())

    def of_kind(self, *kinds: Kind) -> list[int]:
        return [customer for customer, keys in self.changes.items() if not keys.isdisjoint(kinds)]


def lock_memberships(session: SiteSession) -> None:
    """Nobody else writes the site's members until the transaction ends."""
    session.sql(text("select pg_advisory_xact_lock(:key)"), {"key": _LOCK | session.site_id})


def step(session: SiteSession) -> None:
    """Bring the session's site up to this instant, or nearer to it where much has changed."""
    lock_memberships(session)
    at = clock.now()
    state = _state(session, at)
    program = program_of(session, state.edits, state.zone)
    if state.ticked_at > at or state.was_zone != state.zone:
        _start_anew(session, program)
    work = _take(session, at)
    stored = set(session.sql(_STORED, {"site": session.site_id}).scalars()) & program.rules.keys()
    keep_dates(session, program.dates, state.zone)
    change_dates(session, work.of_kind(Kind.ATTRIBUTES, Kind.EVERYTHING), state.zone)
    work.turns = keep_turns(session, program, work.changes, at)
    work.crossed = crossings(session.raw, session.site_id, program.edges, state.ticked_at, at, state.zone)
    turned(session, work.turns, state.ticked_at, at, work.crossed)
    borders = refresh(session, program, work.changes, work.crossed, work.turns.behind | work.turns.filled, at)
    _mark_due(session, program, work, borders)
    evaluated = _evaluate_due(session, program, at, work.turns.behind)
    members = _judge(session, program, work, stored - evaluated, borders, at, state.zone)
    _write(session, work, members, stored, at)
    remember_judged(session, members, work.customers)
    session.sql(_DONE, {"site": session.site_id, "at": at, "zone": state.zone})


def _state(session: SiteSession, at: datetime) -> Any:
    """The site's row of `site_refresh`, made when there is none yet, with the site's zone now."""
    zone = session.get_one(Site, session.site_id, populate_existing=True).time_zone
    session.sql(_FIRST, {"site": session.site_id, "at": at, "zone": zone})
    return session.sql(_STATE, {"site": session.site_id, "zone": zone}).one()


def _start_anew(session: SiteSession, program: Program) -> None:
    """The clock was set back, or local dates are of another zone: what was found so far tells nothing."""
    forget_dates(session)
    forget_borders(session)
    forget_turns(session)
    mark_due(session, program.rules)


def mark_due(session: SiteSession, segments: Iterable[int]) -> None:
    """Have these segments evaluated whole."""
    session.sql(_MARK_DUE, {"site": session.site_id, "ids": list(segments)})


def _take(session: SiteSession, at: datetime) -> _Work:
    """The notes that are waiting, oldest first, up to MOST_CUSTOMERS, and the customers whose instant has come."""
    work = _Work()
    place = {"site": session.site_id, "at": at, "most": MOST_CUSTOMERS}
    notes = session.sql(_TAKE_NOTES, place).all()
    kinds = {kind for note in notes for kind in note.kinds if kind > 0}
    names = {row.id: row.text for row in session.sql(_NAMES, {"site": session.site_id, "ids": list(kinds)})}
    for note in notes:
        for customer, kind in zip(note.customers, note.kinds, strict=True):
            work.changes.setdefault(customer, set()).add(kind if kind < 0 else names.get(kind, ""))
    work.is_catalogue_changed = work.changes.pop(NOBODY, None) is not None
    for customer in session.sql(_TAKE_DUE, place).scalars():
        work.changes.setdefault(customer, set()).add(Kind.EVERYTHING)
    return work


def _mark_due(session: SiteSession, program: Program, work: _Work, borders: Thresholds) -> None:
    """What many cross at once is found anew, and so is what the catalogue says otherwise, or what has no border."""
    found = work.crossed.crowded | work.turns.filled
    for id, rule in program.rules.items():
        if rule.borders - borders.keys() or (work.is_catalogue_changed and rule.asks_catalogue):
            found.add(id)
    if found:
        mark_due(session, found)


def _evaluate_due(session: SiteSession, program: Program, at: datetime, behind: set[int]) -> set[int]:
    """Evaluate segments whole while the budget lasts; the others stay due, or are left to the background.

    `behind` still wait for stored instants.
    """
    began, done = time.monotonic(), set[int]()
    _mark_behind(session, behind, at)
    for segment in due_segments(session):
        assert segment.id is not None
        if segment.id not in program.rules or _rests(segment, at, behind):
            continue
        if (segment.whole_ms or 0) > QUICK * 1000:
            begin(session, segment)
            continue
        if done and time.monotonic() - began > WHOLE_BUDGET:
            break
        try:
            with session.begin_nested():
                evaluate(session, segment, at, min(QUICK, settings().rule_timeout))
            done.add(segment.id)
        except (HomingError, DBAPIError) as error:
            log.info("the members of segment %s are found in the background: %s", segment.id, error)
            begin(session, segment)
    return done


def _mark_behind(session: SiteSession, behind: set[int], at: datetime) -> None:
    """Until their instants are stored, these segments are evaluated again and again, with rests between."""
    if behind:
        rest = {"shortest": SHORTEST_REST, "share": SLOWEST_SHARE}
        session.sql(_MARK_BEHIND, {"site": session.site_id, "ids": list(behind), "at": at, **rest})


def _rests(segment: Segment, at: datetime, behind: set[int]) -> bool:
    """Whether it is too early: what waits for stored instants may be late by its own cost, times SLOWEST_SHARE."""
    if segment.state != SegmentState.READY or segment.fresh_at is None or segment.id not in behind:
        return False
    rest = max(SHORTEST_REST, SLOWEST_SHARE * timedelta(milliseconds=segment.whole_ms or 0))
    return timedelta(0) < at - segment.fresh_at < rest


def _judge(
    session: SiteSession,
    program: Program,
    work: _Work,
    segments: set[int],
    borders: Thresholds,
    at: datetime,
    zone: str,
) -> dict[int, npt.NDArray[np.bool_]]:
    """The members among the customers to be looked at (ascending), in those segments that can be touched."""
    touched = program.touched(work.keys) | work.crossed.segments
    asked = [id for id in touched & segments if program.rules[id].borders <= borders.keys()]
    customers = np.array(sorted(work.customers), np.int64)
    return judge(session, program, customers, asked, at, zone, borders) if work.customers else {}


def _write(
    session: SiteSession, work: _Work, members: dict[int, npt.NDArray[np.bool_]], segments: set[int], at: datetime
) -> None:
    reborn = work.of_kind(Kind.EVERYTHING)
    mark_reachable(session.raw, session.site_id, work.of_kind(Kind.SUBSCRIPTION, Kind.EVERYTHING))
    if members or reborn:
        customers = np.array(sorted(work.customers), np.int64)
        Diff(session.raw, session.site_id, customers, segments).write(members, at, reborn)


_FIRST = text(
    "insert into site_refresh (site_id, ticked_at, fresh_at, zone) values (:site, :at, :at, :zone)"
    " on conflict do nothing"
)
_STATE = text("select ticked_at, edits, zone as was_zone, :zone as zone from site_refresh where site_id = :site")
_STORED = text("select id from segment where site_id = :site")
_MARK_DUE = text("update segment set is_due = true where site_id = :site and id = any(:ids) and not is_due")
_MARK_BEHIND = text(
    "update segment set is_due = true where site_id = :site and id = any(:ids) and not is_due and (fresh_at > :at or"
    " fresh_at <= :at - greatest(cast(:shortest as interval), whole_ms * :share * interval '1 ms'))"
)
_NAMES = text("select id, text from term where site_id = :site and id = any(:ids)")
_TAKE_NOTES = text(
    """
    delete from change_note where id in (
        select id from (
            select id, sum(cardinality(customers)) over (order by id) - cardinality(customers) as before
            from (select id, customers from change_note where site_id = :site and noted_at <= :at
                  order by id limit 2000) as oldest
        ) as counted where before < :most
    ) returning customers, kinds
    """
)
_TAKE_DUE = text(
    "delete from customer_due where (site_id, at, customer_id) in (select site_id, at, customer_id from customer_due"
    " where site_id = :site and at <= :at order by at limit :most) returning customer_id"
)
_DONE = text(
    "update site_refresh set ticked_at = :at, zone = :zone, fresh_at = least(:at, (select noted_at from change_note"
    " where site_id = :site and noted_at <= :at order by id limit 1)) where site_id = :site"
)
