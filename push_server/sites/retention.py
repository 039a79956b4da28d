"""How long a site's events are kept: by default for ever, or as long as the shop says, by their names.

Orders and what tells of points are kept in any case: they are the shop's books, and few beside what is looked at.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import text

from push_server.db import SiteSession
from push_server.errors import Fault, Invalid
from push_server.sites.models import Site
from segments.moments import LONGEST, read_duration
from segments.names import canonical

SETTING: Final = "retention"
KEPT_FOR_EVER: Final = frozenset(
    {
        "Order Completed",
        "Order Updated",
        "Order Refunded",
        "Order Cancelled",
        "Loyalty Points Earned",
        "Loyalty Points Redeemed",
        "Loyalty Tier Changed",
    }
)
SHORTEST: Final = timedelta(days=1)
MOST_NAMES: Final = 2000
_LOCK: Final = 9 << 56  # apart from other advisory locks


@dataclass(frozen=True)
class Retention:
    """Durations as the shop wrote them, None for ever: of all events, and of those of a name."""

    default: str | None = None
    events: Mapping[str, str | None] = field(default_factory=dict)

    def of(self, name: str) -> timedelta | None:
        """How long events of this name are kept; None: for ever."""
        read = read_duration(self.written_of(name) or "")
        return None if read is None else read.length

    def written_of(self, name: str) -> str | None:
        """The same as the shop wrote it."""
        return None if name in KEPT_FOR_EVER else self.events.get(name, self.default)

    def words(self, name: str) -> str:
        """`for 400d`, as it was written."""
        written = self.written_of(name)
        return "for ever" if written is None else f"for {written}"

    def written(self) -> dict[str, Any]:
        """As it is stored and told."""
        return {"default": self.default, "events": dict(self.events)}

    @property
    def is_any(self) -> bool:
        """Whether anything is deleted at all."""
        return any(written is not None for written in (self.default, *self.events.values()))


Check = Callable[[SiteSession, Retention], None]
_checks: list[Check] = []


def before_change(check: Check) -> None:
    """From now on call this before a site's retention changes, to refuse what contradicts something else (409).

    It may take locks: nothing of the site is locked yet, and they are held until the change is committed.
    """
    _checks.append(check)


def retention_of(site: Site) -> Retention:
    """What the site has set."""
    stored = site.settings.get(SETTING)
    return Retention(stored["default"], stored["events"]) if isinstance(stored, dict) else Retention()


def read_retention(given: Mapping[str, Any] | None, before: Retention) -> Retention:
    """What a shop asks for: fields left out stay, null puts everything back to for ever. 422 with every fault."""
    if given is None:
        return Retention()
    faults: list[Fault] = []
    default, events = given.get("default", before.default), given.get("events", before.events)
    if default is not None:
        _check(default, "$.retention.default", faults)
    for name, written in events.items():
        path = f'$.retention.events["{name}"]'
        if canonical(name) in KEPT_FOR_EVER and written is not None:
            message = "orders and points are kept as long as their customer: take this name out"
            faults.append(Fault(path, message, "kept_for_ever"))
        elif written is not None:
            _check(written, path, faults)
    if faults:
        raise Invalid("The retention cannot be so; `errors` names each place.", code="bad_retention", faults=faults)
    return Retention(default, {canonical(name): written for name, written in events.items()})


def change_retention(session: SiteSession, site: Site, given: Mapping[str, Any] | None) -> None:
    """Set what is given, when nothing contradicts it; the site's row is locked afterwards."""
    session.sql(text("select pg_advisory_xact_lock(:key)"), {"key": _LOCK | session.site_id})
    session.refresh(site)
    asked = read_retention(given, retention_of(site))
    for check in _checks:
        check(session, asked)
    session.refresh(site, with_for_update=True)
    site.settings = {**site.settings, SETTING: asked.written()}


def _check(written: str, path: str, faults: list[Fault]) -> None:
    read = read_duration(written)
    if read is None:
        faults.append(Fault(path, "must be a duration such as 400d or 52w", "bad_duration"))
    elif not SHORTEST <= read.length <= LONGEST:
        faults.append(Fault(path, f"must be from {SHORTEST.days}d to {LONGEST.days}d", "out_of_range"))
