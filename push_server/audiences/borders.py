"""The borders of conditions that depend on everyone (`rank`, `rfm`): kept, and found anew as facts change.

A border is stored once for all segments that have an equal condition, and all of them tell their members by the stored
one: whoever changes is judged by it at once, like by any other rule, and a whole evaluation takes it, too. So when it
is found to have moved, only those between where it was and where it is can be wrong, and they are judged again.
"""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import Row, text
from sqlalchemy.exc import DBAPIError

from push_server.audiences.crossings import MOST, Crossings
from push_server.audiences.models import Segment
from push_server.audiences.places import number
from push_server.audiences.program import Key, Program, known_by
from push_server.audiences.rules import SiteRules, Thresholds, evaluation
from push_server.audiences.waiting import begin_all
from push_server.audiences.worths import Worths, forget_worths, keep_worths
from push_server.customers.changes import Kind
from push_server.db import SiteSession
from push_server.errors import HomingError
from push_server.settings import settings
from segments.core import Rank, Rfm
from segments.edges import edges, needs_instant
from segments.needs import everything
from segments.sql_rank import SCORED_FROM, measures_in
from segments.sql_thresholds import flat, moved_threshold, read_threshold, threshold, turns

log = logging.getLogger(__name__)

SHARE: Final = 4
"""A border rests this many times as long as finding all borders of its site takes, from one search to the next."""
SHORTEST_REST: Final = timedelta(seconds=1)
LATEST: Final = timedelta(seconds=2)
"""So late a border can be, unless finding them takes long: then it is as late as its rest, its search and a step."""
BUDGET: Final = 0.25
"""Seconds after which a step begins to find no further border, so that changes do not wait for many of them."""
SLOW: Final = 1.0
"""Seconds that finding a border may take in a step; those that take longer are found in the background."""
_PAUSE: Final = 300.0  # seconds until a border that could not be found is tried again

_not_before: dict[tuple[int, str], float] = {}

Leaf = Rank | Rfm


class Told(NamedTuple):
    """What a reader of a segment is told of its border: the instant that it is of, and how late it can be at most."""

    as_of: datetime
    at_most_late: timedelta


def refresh(
    session: SiteSession,
    program: Program,
    changes: Mapping[int, set[Key]],
    crossed: Crossings,
    unsure: set[int],
    at: datetime,
) -> Thresholds:
    """The site's borders: those that what is stored of customers' worths tells, as of now; of the others those found
    anew whose facts have changed or crossed an edge, and that have rested.

    Of `unsure` segments nobody knows yet whether time has passed an edge. Whoever is between an old border and its new
    one is added to `crossed`, with the segments that are told by it. A condition without a border is not in what is
    returned: a whole evaluation of its segments finds it.
    """
    rows = _rows(session)
    held = {leaf: rows.pop(known_by(leaf)[0]) for leaf in program.borders if known_by(leaf)[0] in rows}
    if rows:  # no segment asks for them any more
        _forget(session, rows)
    worths = keep_worths(session, program, changes, crossed, at)
    told = {leaf: row for leaf, row in held.items() if worths.tell(leaf)}
    changed, passed = set().union(*changes.values()), crossed.segments | crossed.crowded | unsure
    due = {
        leaf
        for leaf, row in held.items()
        if leaf not in told and (row.is_due or _is_touched(leaf, changed, program.borders[leaf] & passed))
    }
    found = _find_due(session, program, {leaf: held[leaf] for leaf in due}, _rest(held.values()), crossed, at)
    waiting = [leaf for leaf in due - found.keys() if not held[leaf].is_due]
    if waiting:
        mark_due(session, waiting)
    found |= _follow(session, program, worths, told, crossed, at)
    return {leaf: _read(leaf, row) for leaf, row in held.items()} | found


def _follow(
    session: SiteSession,
    program: Program,
    worths: Worths,
    told: Mapping[Leaf, Row[Any]],
    crossed: Crossings,
    at: datetime,
) -> dict[Leaf, Any]:
    """The borders that worths tell, where they have moved; whoever is between is added to `crossed`."""
    found = dict[Leaf, Any]()
    for leaf, row in told.items():
        if row.is_due or worths.has_changed(leaf):
            old, new = _read(leaf, row), worths.border(leaf)
            if row.is_due or new != old:
                found[leaf] = store(session, leaf, flat(new), at, cost_ms=0)
                crossed.add(_between(worths, leaf, old, new), program.borders[leaf])
    return found


def _between(worths: Worths, leaf: Leaf, old: Any, new: Any) -> set[int]:
    """Who is told otherwise by the new border than by the old one: with more than MOST, there are too many."""
    if isinstance(leaf, Rank):
        return set(worths.between(measures_in(leaf)[0], old, new, MOST + 1))
    found = set[int]()
    for (_score, test), measure, was, now in zip(leaf.scores, measures_in(leaf), old, new, strict=True):
        for step, before, after in zip(SCORED_FROM, was, now, strict=True):
            if turns(test, step):
                found.update(worths.between(measure, before, after, MOST + 1))
    return found


def borders_for(
    session: SiteSession, rules: SiteRules, leaves: Iterable[Leaf], at: datetime, seconds: float | None = None
) -> Thresholds:
    """The stored borders of these conditions; those that have none are found and stored.

    422 when one takes longer than `seconds`. The caller holds the site's membership lock.
    """
    leaves = set(leaves)
    borders = stored_borders(session, leaves)
    for leaf in leaves - borders.keys():
        row, cost = search(session, rules, leaf, at, seconds)
        borders[leaf] = store(session, leaf, row, at, cost)
    return borders


def to_be_sought(session: SiteSession, leaves: Iterable[Leaf], *, due_ones: bool) -> dict[Leaf, Any]:
    """Those of these conditions that have no border, with None, or one that is slow to find and due, with that."""
    rows, found = _rows(session), dict[Leaf, Any]()
    for leaf in leaves:
        row = rows.get(known_by(leaf)[0])
        if row is None or (due_ones and row.is_due and is_slow(row)):
            found[leaf] = None if row is None else _read(leaf, row)
    return found


def mark_due(session: SiteSession, leaves: Iterable[Leaf]) -> None:
    """Have these borders found again once they have rested."""
    session.sql(_MARK_DUE, {"site": session.site_id, "leaves": [known_by(leaf)[0] for leaf in leaves]})


def is_moved_by_time(leaf: Leaf) -> bool:
    """Whether a border can move although nothing happens."""
    return bool(edges(leaf)) or needs_instant(leaf)


def stored_borders(session: SiteSession, leaves: Iterable[Leaf]) -> dict[Leaf, Any]:
    """Of these conditions the borders that are stored."""
    rows = _rows(session)
    return {leaf: _read(leaf, rows[known_by(leaf)[0]]) for leaf in leaves if known_by(leaf)[0] in rows}


def tell(session: SiteSession, segments: Iterable[Segment], fresh_at: datetime | None) -> dict[int, Told]:
    """For those segments that are told by borders, the oldest of theirs; `fresh_at` is the instant of the members."""
    rows = _rows(session)
    if not rows:
        return {}
    found, rules = dict[int, Told](), SiteRules(session)
    at_most = max(LATEST, (SHARE + 2) * _cost(rows.values()))
    for segment in segments:
        try:
            stored = [rows[known_by(leaf)[0]] for leaf in leaves_of(rules, segment) if known_by(leaf)[0] in rows]
        except HomingError:  # as of a rule that was stored by an earlier version
            continue
        as_of = [row.found_at if row.is_due else max(row.found_at, fresh_at or row.found_at) for row in stored]
        if as_of and segment.id is not None:
            found[segment.id] = Told(min(as_of), at_most)
    return found


def leaves_of(rules: SiteRules, segment: Segment) -> list[Leaf]:
    """The conditions that depend on everyone, of the segment's rule and of those that it names."""
    node = rules.parse(segment.rule).lower()
    return [leaf for leaf in everything([node], rules.node) if isinstance(leaf, Rank | Rfm)]


def forget_borders(session: SiteSession) -> None:
    """Have the site's borders found as if for the first time. Their segments are to be evaluated whole."""
    forget_worths(session)
    _forget(session, _rows(session))


def _is_touched(leaf: Leaf, keys: set[Key], passed: set[int]) -> bool:
    _key, read = known_by(leaf)
    return Kind.EVERYTHING in keys or not read.isdisjoint(keys) or (bool(passed) and is_moved_by_time(leaf))


def _rest(rows: Iterable[Row[Any]]) -> timedelta:
    return max(SHORTEST_REST, SHARE * _cost(rows))


def _cost(rows: Iterable[Row[Any]]) -> timedelta:
    return timedelta(milliseconds=sum(row.cost_ms for row in rows))


def _find_due(
    session: SiteSession, program: Program, due: dict[Leaf, Row[Any]], rest: timedelta, crossed: Crossings, at: datetime
) -> dict[Leaf, Any]:
    """Those that have rested, the longest waiting first, while the budget lasts; the others stay due."""
    began, found, rules = time.monotonic(), dict[Leaf, Any](), SiteRules(session)
    for leaf, row in sorted(due.items(), key=lambda pair: pair[1].found_at):
        paused = (session.site_id, row.leaf)
        if timedelta(0) < at - row.found_at < rest or _not_before.get(paused, 0) > time.monotonic():
            continue
        if is_slow(row):
            begin_all(session, program.borders[leaf])
            continue
        if found and time.monotonic() - began > BUDGET:
            break
        try:
            with session.begin_nested():
                found[leaf], between = _find_again(session, rules, leaf, _read(leaf, row), at)
            crossed.add(between, program.borders[leaf])
        except (HomingError, DBAPIError) as error:
            if getattr(error, "connection_invalidated", False):
                raise
            if getattr(error, "code", "") == "rule_too_slow":
                session.sql(_IS_SLOW, {"site": session.site_id, "leaf": row.leaf, "cost": round(SLOW * 1000) + 1})
                continue
            log.warning("a border of site %s stays where it was for now: %s", session.site_id, error)
            _not_before[paused] = time.monotonic() + _PAUSE
    return found


def is_slow(row: Row[Any]) -> bool:
    """Whether a stored border takes too long to be found while others wait."""
    return bool(row.cost_ms > SLOW * 1000)


def _find_again(session: SiteSession, rules: SiteRules, leaf: Leaf, old: Any, at: datetime) -> tuple[Any, list[int]]:
    """The border now, and who is between it and the old one: one more than MOST are too many."""
    began = time.perf_counter()
    with evaluation(session, min(SLOW, settings().rule_timeout)):
        *row, between = session.sql(moved_threshold(leaf, rules.binding(), at, old, MOST + 1)).one()
    return store(session, leaf, row, at, _milliseconds(began)), between or []


def search(
    session: SiteSession, rules: SiteRules, leaf: Leaf, at: datetime, seconds: float | None = None
) -> tuple[Row[Any], int]:
    """What a border over everyone is at an instant, for `store`, and what finding it took, in milliseconds."""
    began = time.perf_counter()
    with evaluation(session, seconds):
        row = session.sql(threshold(leaf, rules.binding(), at)).one()
    return row, _milliseconds(began)


def store(session: SiteSession, leaf: Leaf, row: Sequence[Any], at: datetime, cost_ms: int) -> Any:
    """Tell members by this border from here on. The site's membership lock is held."""
    border = read_threshold(leaf, row)
    numbers = [None if each is None else str(each) for each in flat(border)]
    place = {"site": session.site_id, "leaf": known_by(leaf)[0]}
    session.sql(_STORE, {**place, "border": numbers, "at": at, "cost": cost_ms})
    return border


def _milliseconds(began: float) -> int:
    return round((time.perf_counter() - began) * 1000)


def _rows(session: SiteSession) -> dict[str, Row[Any]]:
    return {row.leaf: row for row in session.sql(_STORED, {"site": session.site_id})}


def _read(leaf: Leaf, row: Row[Any]) -> Any:
    return read_threshold(leaf, [number(each) for each in row.border])


def _forget(session: SiteSession, keys: Iterable[str]) -> None:
    session.sql(_FORGET, {"site": session.site_id, "leaves": list(keys)})


_STORED = text("select leaf, border, found_at, cost_ms, is_due from segment_border where site_id = :site")
_STORE = text(
    "insert into segment_border (site_id, leaf, border, found_at, cost_ms)"
    " values (:site, :leaf, cast(:border as numeric[]), :at, :cost) on conflict (site_id, leaf) do update"
    " set border = excluded.border, found_at = excluded.found_at, cost_ms = excluded.cost_ms, is_due = false"
)
_MARK_DUE = text("update segment_border set is_due = true where site_id = :site and leaf = any(:leaves)")
_IS_SLOW = text(
    "update segment_border set cost_ms = greatest(cost_ms, :cost), is_due = true where site_id = :site and leaf = :leaf"
)
_FORGET = text("delete from segment_border where site_id = :site and leaf = any(:leaves)")
