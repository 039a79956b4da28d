"""Reading events: a customer's timeline, and the site's stream."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from pydantic import BaseModel
from sqlalchemy import text

from push_server import clock, http
from push_server.customers.api import ExternalId, SomeId
from push_server.customers.service import find_customer
from push_server.db import SiteSession
from push_server.fields import Cursor
from push_server.http import Page, bad_cursor, decode_cursor, encode_cursor, session_of
from push_server.sites.access import Principal, require
from push_server.sites.models import Scope
from segments.names import canonical

router = http.router("events")

Reader = Annotated[Principal, Depends(require(Scope.EVENTS_READ))]
EventLimit = Annotated[int, Query(ge=1, le=500, description="rows a page")]

# Each name's newest first, by the index on (kind, customer, ts) or (kind, ts), then the newest of them all: so a page
# costs a few rows per name, however long the history is.
_NEWEST = """
    select e.ts, e.seq, e.event, b.message_id, b.properties, b.received_at, c.external_id, c.anonymous_id
    from (
        select kind.text as event, found.*
        from (select id, text from term where site_id = :site and what = 'event' and {named}) kind
        cross join lateral (
            select ts, seq, customer_id from event
            where event.kind_id = kind.id and {whose}
              and (ts, seq) < (cast(:before as timestamptz), cast(:seq as bigint))
            order by ts desc, seq desc limit :limit
        ) found
        order by ts desc, seq desc limit :limit
    ) e
    join event_body b on b.seq = e.seq and b.site_id = :site
    join customer c on c.id = e.customer_id
    order by e.ts desc, e.seq desc
"""


class Event(BaseModel):
    """What a customer did, and when (corrected for his browser's clock)."""

    event: str
    timestamp: str
    received_at: str
    message_id: str
    properties: dict[str, Any]


class CustomerEvent(Event):
    """An event with whose it is."""

    external_id: str | None
    anonymous_id: str | None


class Timeline(Page):
    """A page of a customer's events, newest first."""

    data: list[Event]


class EventPage(Page):
    """A page of events, newest first."""

    data: list[CustomerEvent]


@router.get("/v1/customers/{external_id:path}/timeline")
def get_timeline(
    external_id: ExternalId,
    request: Request,
    _principal: Reader,
    limit: EventLimit = 100,
    cursor: Cursor = None,
) -> Timeline:
    """What the customer did, newest first."""
    session = session_of(request)
    customer = find_customer(session, external_id)
    rows, after = _newest(session, None, customer.id, limit, cursor)
    return Timeline(data=[Event(**_event(row)) for row in rows], next_cursor=after)


@router.get("/v1/events")
def get_events(
    request: Request,
    _principal: Reader,
    event: Annotated[str | None, Query(max_length=255, description="its name; old names mean the new ones")] = None,
    external_id: SomeId = None,
    limit: EventLimit = 100,
    cursor: Cursor = None,
) -> EventPage:
    """The site's events, newest first; those of one name or one customer, when given."""
    session = session_of(request)
    customer_id = find_customer(session, external_id).id if external_id is not None else None
    rows, after = _newest(session, event, customer_id, limit, cursor)
    data = [CustomerEvent(**_event(row), external_id=row.external_id, anonymous_id=row.anonymous_id) for row in rows]
    return EventPage(data=data, next_cursor=after)


def _newest(
    session: SiteSession, name: str | None, customer_id: int | None, limit: int, cursor: str | None
) -> tuple[list[Any], str | None]:
    before, seq = _position(cursor)
    statement = _NEWEST.format(
        named="term.text = :name" if name is not None else "true",
        whose="event.customer_id = :customer" if customer_id is not None else "true",
    )
    given = {
        "site": session.site_id,
        "name": canonical(name) if name is not None else None,
        "customer": customer_id,
        "before": before,
        "seq": seq,
        "limit": limit,
    }
    rows = session.sql(text(statement), given).all()
    return rows, encode_cursor([rows[-1].ts.isoformat(), rows[-1].seq]) if len(rows) == limit else None


def _position(cursor: str | None) -> tuple[datetime | str, int]:
    position = decode_cursor(cursor, 2)
    if position is None:
        return "infinity", 0
    try:
        before = datetime.fromisoformat(position[0])
    except (TypeError, ValueError):
        raise bad_cursor() from None
    if before.tzinfo is None or type(position[1]) is not int or not 0 <= position[1] < 2**63:
        raise bad_cursor()
    return before, position[1]


def _event(row: Any) -> dict[str, Any]:
    return {
        "event": row.event,
        "timestamp": clock.rfc3339(row.ts),
        "received_at": clock.rfc3339(row.received_at),
        "message_id": row.message_id,
        "properties": row.properties,
    }
