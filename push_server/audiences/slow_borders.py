"""Borders that take long to find: found without the site's membership lock, before the members that they tell.

Where such a border has moved, the members of all its segments are found anew.
"""

from sqlalchemy import text
from sqlmodel import col, select

from push_server import clock
from push_server.audiences.borders import (
    Leaf,
    is_moved_by_time,
    leaves_of,
    mark_due,
    search,
    store,
    to_be_sought,
)
from push_server.audiences.models import Backfill, Segment
from push_server.audiences.rules import SiteRules
from push_server.audiences.step import lock_memberships
from push_server.audiences.waiting import begin
from push_server.db import Database, SiteSession
from push_server.errors import HomingError


def find_borders(database: Database, site_id: int, backfill_id: int) -> None:
    """Find and store those borders that the segment's members are told by and that the background is to find.

    422 when one takes longer than HOMING_RULE_TIMEOUT.
    """
    with database.session(site_id=site_id) as session:
        backfill = session.get(Backfill, backfill_id)
        if backfill is None:
            return
        rules, at, notes = SiteRules(session), clock.now(), _notes(session)
        leaves = leaves_of(rules, session.get_one(Segment, backfill.segment_id))
        # Those that are due wait for the end of what has begun, or that would never come.
        before = to_be_sought(session, leaves, due_ones=backfill.reached == 0)
        found = {leaf: search(session, rules, leaf, at) for leaf in before}
    if not found:
        return
    with database.session(site_id=site_id) as session:
        lock_memberships(session)
        if session.get(Backfill, backfill_id) is None:
            return
        for leaf, (row, cost) in found.items():
            now = store(session, leaf, row, at, cost)
            if _notes(session) != notes or is_moved_by_time(leaf):
                mark_due(session, [leaf])
            _begin_others(session, leaf, backfill_id, has_moved=before[leaf] is not None and before[leaf] != now)


def _begin_others(session: SiteSession, leaf: Leaf, backfill_id: int, *, has_moved: bool) -> None:
    """The members of this border's other segments are found anew where it has moved; of the one in hand they are."""
    rules = SiteRules(session)
    mine = session.get_one(Backfill, backfill_id).segment_id
    for segment in session.exec(select(Segment).order_by(col(Segment.id))) if has_moved else ():
        if segment.id != mine and leaf in _leaves(rules, segment):
            begin(session, segment)
    segment = session.get_one(Segment, mine)
    segment.is_due = False  # as it was for want of a border
    session.add(segment)


def _leaves(rules: SiteRules, segment: Segment) -> list[Leaf]:
    try:
        return leaves_of(rules, segment)
    except HomingError:  # as of a rule that was stored by an earlier version
        return []


def _notes(session: SiteSession) -> int | None:
    """A number that is another one once anybody has noted a change."""
    last = text("select pg_sequence_last_value(pg_get_serial_sequence('change_note', 'id')::regclass)")
    number: int | None = session.sql(last).scalar_one()
    return number
