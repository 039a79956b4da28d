"""`GET /v1/customers/{external_id}/export`: all that is known of a customer, in one document."""

from typing import Annotated, Any

from fastapi import Depends, Request
from pydantic import BaseModel, Field
from sqlalchemy import text

from push_server import clock, errors, http
from push_server.customers.api import ExternalId
from push_server.customers.identity import lock_site, tables_of_customers
from push_server.customers.service import find_customer
from push_server.db import SiteSession
from push_server.http import session_of
from push_server.sites.access import Principal, require
from push_server.sites.models import Scope

router = http.router("customers")

_EVENTS = text(
    """
    select t.text as event, e.ts as timestamp, b.received_at, b.message_id, b.properties, b.context
    from event e join term t on t.id = e.kind_id left join event_body b on b.seq = e.seq and b.site_id = :site
    where e.kind_id = any(array(select id from term where site_id = :site and what = 'event')) and e.customer_id = :id
    order by e.ts, e.seq
    """
)
# Rows that are his by way of another row of his.
_THROUGH = {
    "order_change": "select c.* from order_change c join orders o using (site_id, order_id)"
    " where o.site_id = :site and o.customer_id = :id",
    "receipt": "select r.* from receipt r join delivery d on d.id = r.delivery_id"
    " where d.site_id = :site and d.customer_id = :id",
}
# How rows find each other inside, and the keys that messages to a browser are encrypted with.
_INTERNAL = ("site_id", "customer_id", "endpoint_hash", "p256dh", "auth", "vapid_key_id")


class Export(BaseModel):
    """A customer's data. `tables` has everything besides himself and his events, as it is stored, table by table."""

    exported_at: str
    customer: dict[str, Any]
    events: list[dict[str, Any]]
    tables: dict[str, list[dict[str, Any]]] = Field(description="rows by table; times are RFC 3339, money in micros")


@router.get("/v1/customers/{external_id:path}/export")
def get_export(
    external_id: ExternalId,
    request: Request,
    principal: Annotated[Principal, Depends(require(Scope.CUSTOMERS_READ))],
) -> Export:
    """All that is known of a customer; the key must be allowed to read events as well."""
    if not principal.allows(Scope.EVENTS_READ):
        raise errors.Forbidden(f"This key lacks the scope {Scope.EVENTS_READ}.", code="scope_missing")
    session = session_of(request)
    lock_site(session.raw, session.site_id)  # no merge or erasure in between
    customer = find_customer(session, external_id)
    assert customer.id is not None
    himself = "select * from customer where site_id = :site and id = :id"
    return Export(
        exported_at=clock.rfc3339(clock.now()),
        customer=_rows(session, himself, customer.id)[0],
        events=[_event(row) for row in session.sql(_EVENTS, {"site": session.site_id, "id": customer.id})],
        tables={name: _rows(session, query, customer.id) for name, query in _queries(session)},
    )


def _queries(session: SiteSession) -> list[tuple[str, str]]:
    """Table and query of its rows, for every table there is."""
    direct = {
        table.name: f"select t.* from {table.name} t where {table.where('id')}"  # noqa: S608
        for table in tables_of_customers(session.raw)
        if table.name != "event"
    }
    named = {name: query.replace("%(id)s", ":id").replace("%(site)s", ":site") for name, query in direct.items()}
    return sorted({**named, **_THROUGH}.items())


def _rows(session: SiteSession, query: str, customer_id: int) -> list[dict[str, Any]]:
    found = session.sql(
        text(f"select to_jsonb(q) as row from ({query}) q"),  # noqa: S608
        {"site": session.site_id, "id": customer_id},
    )
    return [{name: value for name, value in row.row.items() if name not in _INTERNAL} for row in found]


def _event(row: Any) -> dict[str, Any]:
    return {
        "event": row.event,
        "timestamp": clock.rfc3339(row.timestamp),
        "received_at": clock.rfc3339(row.received_at) if row.received_at else None,
        "message_id": row.message_id,
        "properties": row.properties,
        "context": row.context,
    }
