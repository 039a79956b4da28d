"""Receipts: what a browser tells of a delivery. The signed token in each says which delivery of which site it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from push_server import clock
from push_server.customers.changes import Kind, note
from push_server.customers.identity import lock_site
from push_server.db import SiteSession


@dataclass(frozen=True, slots=True)
class Fact:
    """`kind` shown, clicked or closed; `action` of a click: the button's, or empty for the notification itself."""

    delivery_id: int
    kind: str
    action: str
    at: datetime


# Browsers' clocks are off: nothing happened before the message was made, nor in the future.
_INSERT = text(
    """
    with taken as (
        insert into receipt (delivery_id, kind, action, at, received_at)
        select d.id, u.kind, u.action, least(greatest(u.at, p.created_at), :now), :now
        from unnest(cast(:ids as bigint[]), cast(:kinds as text[]), cast(:actions as text[]),
                    cast(:at as timestamptz[])) as u(id, kind, action, at)
        join delivery d on d.id = u.id and d.site_id = :site
        join dispatch p on p.id = d.dispatch_id
        order by d.id, u.kind, u.action
        on conflict (delivery_id, kind, action) do nothing
        returning delivery_id
    )
    select distinct d.customer_id from taken join delivery d on d.id = taken.delivery_id
    """
)


def record(session: SiteSession, facts: Sequence[Fact]) -> None:
    """Keep each fact once, however often it is told; the first telling counts. Erased deliveries are passed over."""
    lock_site(session.raw, session.site_id)  # a merge must not take a noted customer away unseen
    told = session.sql(
        _INSERT,
        {
            "site": session.site_id,
            "now": clock.now(),
            "ids": [fact.delivery_id for fact in facts],
            "kinds": [fact.kind for fact in facts],
            "actions": [fact.action for fact in facts],
            "at": [fact.at for fact in facts],
        },
    )
    note(session.raw, session.site_id, [(customer, Kind.MESSAGE) for customer in told.scalars()])
