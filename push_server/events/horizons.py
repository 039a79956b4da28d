"""How far back the events of a name are all there: by what the site has set, and by what is deleted already."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import text

from push_server import clock
from push_server.db import SiteSession
from push_server.sites.models import Site
from push_server.sites.retention import Retention, retention_of
from segments.context import Kept

LAG: Final = timedelta(hours=1)
"""Events are deleted so much later than they may be: clocks differ, and statements take their time."""


@dataclass(frozen=True)
class Horizons:
    """`before` says by name from before when events are gone or going; of others all are there."""

    retention: Retention
    before: dict[str, datetime]

    def kept(self, name: str) -> Kept | None:
        """How far back from now rules may look at these events; None: through all the past."""
        length, gone = self.retention.of(name), self.before.get(name)
        if gone is not None and (length is None or clock.now() - length < gone):
            return Kept(clock.now() - gone, f"from before {clock.rfc3339(gone)} are deleted")
        return None if length is None else Kept(length, f"are kept {self.retention.words(name)}")

    def back_from(self, at: datetime, name: str) -> timedelta | None:
        """How far back from an instant all of these events are there; None: all there ever were."""
        length, gone = self.retention.of(name), self.before.get(name)
        if length is not None:
            soon = clock.now() - length - LAG / 2
            gone = soon if gone is None else max(gone, soon)
        return None if gone is None else at - gone


def horizons_of(session: SiteSession, retention: Retention | None = None) -> Horizons:
    """Of the session's site; with another retention than it has, when one is given."""
    site = session.get_one(Site, session.site_id)
    rows = session.sql(_BEFORE, {"site": session.site_id})
    return Horizons(retention or retention_of(site), {row.text: row.before for row in rows})


_BEFORE = text("select t.text, h.before from event_horizon h join term t on t.id = h.kind_id where h.site_id = :site")
