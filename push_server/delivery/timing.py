"""When the deliveries of a page go out: at a local time, past quiet hours, and so many a minute.

What is written here is the plan. Quiet hours are judged once more when a delivery is sent, in the zone that its
customer is in by then (`prepare`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from push_server import clock
from push_server.db import SiteSession
from push_server.delivery.best_time import BestHours, best_hours
from push_server.delivery.local import QuietHours, first_at
from push_server.delivery.message import Message
from push_server.delivery.models import Dispatch
from push_server.delivery.slots import Slots
from push_server.sites.models import Site
from push_server.sites.quiet_hours import quiet_hours_of

_HOUR = timedelta(hours=1)
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Addressee:
    """Whose a delivery is, and the zone he lives by: his own, else the site's."""

    customer_id: int
    zone: str


@dataclass(frozen=True, slots=True)
class _Wish:
    """A local time, None for any; `lasts`: how much later is as good."""

    when: time | None
    lasts: timedelta = _INSTANT

    def first(self, start: datetime, zone: str) -> datetime:
        """The first such time from the start on, or before it while that still lasts."""
        return start if self.when is None else first_at(self.when, start - self.lasts + _INSTANT, zone)


def is_timed(message: Message) -> bool:
    """Whether its deliveries are planned for instants of their own."""
    return message.local_time is not None or message.best_time or message.throttle_per_minute is not None


def quiet_hours(site: Site, message: Message, *, is_test: bool) -> QuietHours | None:
    """The hours that the message keeps: none for a test, and none where it ignores them."""
    found = quiet_hours_of(site)
    return None if found is None or is_test or "quiet_hours" in message.passes else QuietHours(*found)


def plan_times(session: SiteSession, dispatch: Dispatch, message: Message, ids: Sequence[int]) -> None:
    """Write when each of these queued deliveries is to go, and the places that are taken with the checkpoint.

    The caller holds the dispatch's row, and commits both together: so a planner that dies leaves no place taken twice.
    """
    people = _addressees(session, ids)
    now = clock.now()
    hours = _hours(session, dispatch, people, now) if message.best_time else None
    assert dispatch.created_at is not None
    wanted: dict[tuple[str, _Wish], datetime] = {}
    times = []
    for one in people:
        wish = _wish(message, hours, one.customer_id)
        if (one.zone, wish) not in wanted:
            wanted[one.zone, wish] = max(now, wish.first(dispatch.created_at, one.zone))
        times.append(wanted[one.zone, wish])
    _write(session, dispatch, message, ids, people, times)


def plan_again(session: SiteSession, dispatch: Dispatch, message: Message, ids: Sequence[int]) -> None:
    """Give these throttled deliveries, which missed their places, the next that are free; the caller is as above."""
    _write(session, dispatch, message, ids, _addressees(session, ids), [clock.now()] * len(ids))


def _hours(session: SiteSession, dispatch: Dispatch, people: Sequence[Addressee], now: datetime) -> BestHours:
    """The page's; what the first page with any history says of all stays with the dispatch, for those without."""
    found = best_hours(session, {one.customer_id: one.zone for one in people}, now)
    if dispatch.best_hour is None:
        dispatch.best_hour = found.common
    return BestHours(found.own, dispatch.best_hour)


def _wish(message: Message, hours: BestHours | None, customer_id: int) -> _Wish:
    """His own best hour, else the campaign's local time, else the hour that is best for most."""
    own = hours.own.get(customer_id) if hours else None
    if own is None and message.local_time is not None:
        return _Wish(time.fromisoformat(message.local_time))
    hour = own if own is not None or hours is None else hours.common
    return _Wish(None) if hour is None else _Wish(time(hour), lasts=_HOUR)


def _write(
    session: SiteSession,
    dispatch: Dispatch,
    message: Message,
    ids: Sequence[int],
    people: Sequence[Addressee],
    wanted: Sequence[datetime],
) -> None:
    site = session.get_one(Site, session.site_id)
    quiet = quiet_hours(site, message, is_test=dispatch.is_test) if message.quiet_hours == "defer" else None
    slots = Slots(message.throttle_per_minute, dispatch.slots) if message.throttle_per_minute else None
    allowed: dict[tuple[str, datetime], datetime] = {}
    times = []
    for one, at in zip(people, wanted, strict=True):
        if (one.zone, at) not in allowed:
            allowed[one.zone, at] = (quiet.until(at, one.zone) if quiet else None) or at
        earliest = allowed[one.zone, at]
        times.append(slots.take(earliest) if slots else earliest)
    if slots:
        dispatch.slots = slots.runs
    session.raw.execute(
        "update delivery d set not_before = u.at, due_at = u.at"
        " from unnest(%s::bigint[], %s::timestamptz[]) as u (id, at) where d.id = u.id and d.site_id = %s",
        [list(ids), times, session.site_id],
    )


def _addressees(session: SiteSession, ids: Sequence[int]) -> list[Addressee]:
    """Of each of these deliveries, in their order."""
    rows = session.raw.execute(
        "select d.customer_id, coalesce(c.time_zone, s.time_zone)"
        " from unnest(%(ids)s::bigint[]) with ordinality as u (id, place)"
        " join delivery d on d.id = u.id and d.site_id = %(site)s join site s on s.id = d.site_id"
        " left join customer c on c.id = d.customer_id and c.site_id = %(site)s order by u.place",
        {"ids": list(ids), "site": session.site_id},
    )
    return [Addressee(*row) for row in rows]
