"""Keeping sites' segments up to date: in the background, and by whoever reads them and finds them behind."""

import logging
import time
from datetime import timedelta
from typing import Final

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from push_server import clock
from push_server.audiences.step import step
from push_server.db import Database
from push_server.errors import HomingError

log = logging.getLogger(__name__)

EVERY: Final = 0.2
"""Seconds between the scheduler's looks."""
FRESH: Final = timedelta(seconds=0.5)
"""A site that was looked at no longer ago than this, and has no notes, is not behind."""
PATIENCE: Final = 1.5
"""Seconds for which a reader works on what waits; then he reads what there is, and `fresh_at` says of when it is."""
_TICK: Final = 5.0  # seconds that one look spends on sites that are far behind; a scheduler that ends waits for it


def bring_up_to_date(database: Database, site_id: int) -> None:
    """Bring the site's segments up to this instant, in transactions of their own, if they are behind.

    Not to be called while one holds the site's membership lock.
    """
    began, is_behind = time.monotonic(), _is_behind(database, site_id)
    while is_behind and time.monotonic() - began < PATIENCE:
        with database.session(site_id=site_id) as session:
            step(session)
        is_behind = _has_notes(database, site_id)


def tick(database: Database) -> int:
    """What the scheduler repeats: a step for each site, and more for those that are behind; how many steps.

    While some are behind it goes on without a rest, and looks after all the others again and again.
    """
    began, steps, behind = time.monotonic(), 0, True
    while behind and time.monotonic() - began < _TICK:
        round_began = time.monotonic()
        with database.session() as session:
            waiting = list(session.sql(_SITES).scalars())
        while waiting:
            done = [site_id for site_id in waiting if _step(database, site_id)]
            steps += len(done)
            waiting = [site_id for site_id in done if _has_notes(database, site_id)]
            if time.monotonic() - round_began > EVERY:
                break
        behind = bool(waiting)
    return steps


def _step(database: Database, site_id: int) -> bool:
    """A step of one site; whether it came to its end."""
    try:
        with database.session(site_id=site_id) as session:
            step(session)
    except (HomingError, DBAPIError) as error:
        log.warning("the segments of site %s stay as they are for now: %s", site_id, error)
        return False
    return True


def _is_behind(database: Database, site_id: int) -> bool:
    now = clock.now()
    with database.session(site_id=site_id) as session:
        row = session.sql(_BEHIND, {"site": site_id, "now": now}).one()
    if row.ticked_at is None or row.notes or row.due:
        return True
    return not timedelta(0) <= now - row.ticked_at < FRESH


def _has_notes(database: Database, site_id: int) -> bool:
    with database.session(site_id=site_id) as session:
        return bool(session.sql(_BEHIND, {"site": site_id, "now": clock.now()}).one().notes)


_SITES = text(
    "select id from site s where exists (select 1 from segment where site_id = s.id)"
    " or exists (select 1 from change_note where site_id = s.id)"
    " or exists (select 1 from timed_leaf where site_id = s.id)"
    " or exists (select 1 from worth_measure where site_id = s.id) order by id"
)
_BEHIND = text(
    """
    select (select ticked_at from site_refresh where site_id = :site) as ticked_at,
           exists (select 1 from change_note where site_id = :site and noted_at <= :now) as notes,
           exists (select 1 from segment s where site_id = :site and (is_due or state = 'pending')
                   and fresh_at is distinct from :now
                   and not exists (select 1 from segment_backfill b where b.segment_id = s.id)) as due
    """
)
