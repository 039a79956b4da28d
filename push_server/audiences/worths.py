"""What each customer is worth by the measures of `rank` and `rfm`, stored in order of worth.

A border is a place in that order. What changes of a few customers moves it by a few places, so it is found by going
there from where it was, and nobody else is looked at. A measure that is new is filled by and by, some customers a step;
until that is done, its borders are found over everyone (see `borders`).
"""

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, text
from sqlalchemy.exc import DBAPIError

from push_server.audiences.crossings import Crossings
from push_server.audiences.places import (
    Border,
    Place,
    Standing,
    found_anew,
    moved,
    number,
    places_of,
    read_standing,
    write_standing,
)
from push_server.audiences.program import Key, Program, known_by
from push_server.audiences.rules import SiteRules
from push_server.audiences.worths_stored import Bindings, Moved, Stored, forget
from push_server.customers.changes import Kind
from push_server.db import SiteSession
from segments.core import Rank, Rfm
from segments.edges import needs_instant
from segments.sql_rank import Measure, measures_in

log = logging.getLogger(__name__)

FILLING: Final = 0.25
"""Seconds of a step after which no further customers are filled in."""
_PAUSE: Final = 300.0  # seconds until a measure that failed is filled again

_not_before: dict[int, float] = {}

Leaf = Rank | Rfm


@dataclass(slots=True)
class Worths:
    """A site's measures that are stored of everyone, as of a step's instant."""

    session: SiteSession
    ids: dict[Measure, int] = field(default_factory=dict)
    standing: dict[Measure, dict[Place, Standing]] = field(default_factory=dict)
    """What stands at the places that are asked, where somebody has a worth."""
    changed: set[Measure] = field(default_factory=set)
    """Those by which somebody is worth something else than before, or that are asked about another place."""

    def tell(self, leaf: Leaf) -> bool:
        """Whether the leaf's border follows from them."""
        return all(measure in self.ids for measure in measures_in(leaf))

    def has_changed(self, leaf: Leaf) -> bool:
        """Whether its border may have moved."""
        return not self.changed.isdisjoint(measures_in(leaf))

    def border(self, leaf: Leaf) -> Any:
        """As `read_threshold` gives it."""
        measures, places = measures_in(leaf), places_of(leaf)
        if isinstance(leaf, Rank):
            standing = self.standing[measures[0]].get(places[0])
            return None if standing is None else number(standing.worth)
        return tuple(self._beyond(measure, places) for measure in measures)

    def _beyond(self, measure: Measure, places: Iterable[Place]) -> tuple[Border, ...]:
        """For each place the least worth that is more than the one there."""
        standing = self.standing[measure]
        worths = [standing[place].worth if place in standing else None for place in places]
        rows = self.session.sql(_BEYOND, {"id": self.ids[measure], "worths": worths})
        return tuple(number(worth) for worth in rows.scalars())

    def between(self, measure: Measure, old: Border, new: Border, most: int) -> list[int]:
        """Up to so many of those for whom it matters which of the two the border is; no border is beyond all."""
        if old == new:
            return []
        known = sorted(border for border in (old, new) if border is not None)
        place = {"id": self.ids[measure], "least": known[0], "beyond": known[1] if known[1:] else None, "most": most}
        return list(self.session.sql(_BETWEEN, place).scalars())


def keep_worths(
    session: SiteSession, program: Program, changes: Mapping[int, set[Key]], crossed: Crossings, at: datetime
) -> Worths:
    """Store what these customers are worth at `at`, as far as their changes and edges concern it; fill what is new.

    The caller holds the site's membership lock.
    """
    found = Worths(session)
    stored = {row.measure: row for row in session.sql(_STORED, {"site": session.site_id})}
    asked = _asked_by(program)
    if not asked and not stored:
        return found
    bindings, until = Bindings(SiteRules(session)), time.monotonic() + FILLING
    passed = _passed(crossed, set().union(*(program.borders[leaf] for leaves in asked.values() for leaf in leaves)))
    for measure, leaves in asked.items():
        key, read = known_by(measure)
        row = stored.pop(key, None)
        if row is None:
            row = session.sql(_NEW, {"site": session.site_id, "measure": key}).one()
        segments = set().union(*(program.borders[leaf] for leaf in leaves))
        work = _Work(
            Stored(session, bindings, measure, row.id, at),
            _concerned({*read, Kind.EVERYTHING}, changes, passed),
            {place for leaf in leaves for place in places_of(leaf)},
        )
        is_unknown = not segments.isdisjoint(crossed.crowded)
        _keep(found, work, row, until, -1 if is_unknown else row.filled_to)
    for row in stored.values():
        forget(session, row.id)
    return found


def forget_worths(session: SiteSession) -> None:
    """All are to be filled anew: the clock was set back, or local dates are of another zone."""
    session.sql(text("update worth_measure set filled_to = -1 where site_id = :site"), {"site": session.site_id})


def _asked_by(program: Program) -> dict[Measure, list[Leaf]]:
    """The measures of a site, and whose they are. What turns at instants of its own has none that is stored."""
    found = dict[Measure, list[Leaf]]()
    for leaf in program.borders:
        for measure in () if needs_instant(leaf) else measures_in(leaf):
            found.setdefault(measure, []).append(leaf)
    return found


def _passed(crossed: Crossings, segments: set[int]) -> set[int]:
    """Who crossed an edge of one of these segments: the same for all measures, so that they share their statements."""
    return {who for who, behind in crossed.customers.items() if not behind.isdisjoint(segments)}


def _concerned(keys: set[Key], changes: Mapping[int, set[Key]], passed: set[int]) -> tuple[int, ...]:
    changed = {customer for customer, kinds in changes.items() if not kinds.isdisjoint(keys)}
    return tuple(sorted(changed | passed))


@dataclass(frozen=True, slots=True)
class _Work:
    """What is to be done about a measure: for whom, and what is asked of it."""

    stored: Stored
    customers: tuple[int, ...]
    places: set[Place]


def _keep(found: Worths, work: _Work, row: Row[Any], until: float, filled_to: int | None) -> None:
    """Write what concerns these customers and go on with filling; where it is full, see what stands at the places.

    A statement that fails must not keep segments from being fresh: it is tried again from the beginning, later.
    """
    stored = work.stored
    if _not_before.get(stored.id, 0) > time.monotonic():
        if row.filled_to != -1:  # the step that failed was lost as a whole, or another process has gone on
            stored.empty()  # since what changes now is not written
        return
    try:
        with found.session.begin_nested():
            moves = stored.write(work.customers)
            if filled_to is None:
                counts = row.ranked + moves.more_ranked, row.worthy + len(moves.now) - len(moves.was)
                before = read_standing(found.session, stored.id)
            elif stored.fill(filled_to, until):
                counts, before = stored.count(), {}
            else:
                return
            positions = {place: place.position(*counts) for place in work.places}
            standing = _standing(stored, positions, before, moves)
            if standing != before or counts != (row.ranked, row.worthy):
                write_standing(found.session, stored.id, counts, standing)
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        log.warning(
            "what customers of site %s are worth cannot be stored for now: %s", found.session.site_id, error.orig
        )
        _not_before[stored.id] = time.monotonic() + _PAUSE
        stored.empty()
        return
    found.ids[stored.measure], found.standing[stored.measure] = stored.id, standing
    if filled_to is not None or any(moves) or standing != before:
        found.changed.add(stored.measure)


def _standing(
    stored: Stored, positions: Mapping[Place, int], before: Mapping[Place, Standing], moves: Moved
) -> dict[Place, Standing]:
    """What stands at the positions: found from where a place was, or else over everyone."""
    session, id, found = stored.session, stored.id, dict[Place, Standing]()
    asked = {place: position for place, position in positions.items() if position}
    for place, position in asked.items():
        if place in before:
            found[place] = moved(session, id, before[place].after(moves.was, moves.now), position)
    new = {place: position for place, position in asked.items() if place not in before}
    there = found_anew(session, id, new.values()) if new else {}
    return found | {place: there[position] for place, position in new.items()}


_STORED = text("select id, measure, filled_to, ranked, worthy from worth_measure where site_id = :site")
_NEW = text(
    "insert into worth_measure (site_id, measure) values (:site, :measure) returning id, filled_to, ranked, worthy"
)
_BEYOND = text(
    "select (select min(worth) from customer_worth where measure_id = :id and worth > w.worth)"
    " from unnest(cast(:worths as numeric[])) with ordinality as w (worth, place) order by w.place"
)
_BETWEEN = text(
    "select customer_id from customer_worth where measure_id = :id and worth >= :least"
    " and (cast(:beyond as numeric) is null or worth < :beyond) limit :most"
)
