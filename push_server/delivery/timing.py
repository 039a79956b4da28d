"""When the deliveries of a page go out: at a local time, past quiet hours, and so many a minute.

What is written here is the plan. Quiet hours are judged once more when a delivery is sent, in the zone that its
customer is in by then (`prepare`).
"""

from collections.abc import Sequence
from datetime import datetime, time

from push_server import clock
from push_server.db import SiteSession
from push_server.delivery.local import QuietHours, first_at
from push_server.delivery.message import Message
from push_server.delivery.models import Dispatch
from push_server.delivery.slots import Slots
from push_server.sites.models import Site
from push_server.sites.quiet_hours import quiet_hours_of


def is_timed(message: Message) -> bool:
    """Whether its deliveries are planned for instants of their own."""
    return message.local_time is not None or message.throttle_per_minute is not None


def quiet_hours(site: Site, message: Message, *, is_test: bool) -> QuietHours | None:
    """The hours that the message keeps: none for a test, and none where it ignores them."""
    found = quiet_hours_of(site)
    return None if found is None or is_test or "quiet_hours" in message.passes else QuietHours(*found)


def plan_times(session: SiteSession, dispatch: Dispatch, message: Message, ids: Sequence[int]) -> None:
    """Write when each of these queued deliveries is to go, and the places that are taken with the checkpoint.

    The caller holds the dispatch's row, and commits both together: so a planner that dies leaves no place taken twice.
    """
    site = session.get_one(Site, session.site_id)
    quiet = quiet_hours(site, message, is_test=dispatch.is_test) if message.quiet_hours == "defer" else None
    slots = Slots(message.throttle_per_minute, dispatch.slots) if message.throttle_per_minute else None
    earliest, times = dict[str, datetime](), list[datetime]()
    for zone in _zones(session, ids, site.time_zone):
        if zone not in earliest:
            earliest[zone] = _earliest(dispatch, message, quiet, zone)
        times.append(slots.take(earliest[zone]) if slots else earliest[zone])
    if slots:
        dispatch.slots = slots.runs
    session.raw.execute(
        "update delivery d set not_before = u.at, due_at = u.at"
        " from unnest(%s::bigint[], %s::timestamptz[]) as u (id, at) where d.id = u.id",
        [list(ids), times],
    )


def _earliest(dispatch: Dispatch, message: Message, quiet: QuietHours | None, zone: str) -> datetime:
    if message.local_time is None:
        at = clock.now()
    else:
        assert dispatch.created_at is not None
        at = first_at(time.fromisoformat(message.local_time), dispatch.created_at, zone)
    return (quiet.until(at, zone) if quiet else None) or at


def _zones(session: SiteSession, ids: Sequence[int], zone: str) -> list[str]:
    """The zone of each delivery's customer, else the site's."""
    rows = session.raw.execute(
        "select coalesce(c.time_zone, %s) from unnest(%s::bigint[]) with ordinality as u (id, place)"
        " join delivery d on d.id = u.id left join customer c on c.id = d.customer_id and c.site_id = %s"
        " order by u.place",
        [zone, list(ids), session.site_id],
    )
    return [found for (found,) in rows]


def shift(session: SiteSession, dispatch: Dispatch, message: Message, since: datetime) -> None:
    """After a pause since then, what is throttled goes on at its pace: places and plans move by the pause's length."""
    if message.throttle_per_minute is None:
        return
    length = clock.now() - since
    places = round(length.total_seconds() * message.throttle_per_minute / 60)
    dispatch.slots = [[first + places, last + places] for first, last in dispatch.slots]
    session.raw.execute(
        "update delivery set not_before = not_before + %s, due_at = not_before + %s"
        " where dispatch_id = %s and state = 'queued' and not_before >= %s",
        [length, length, dispatch.id, since],
    )
