"""What became of campaigns' messages, as rules of segments ask for it.

Campaigns and deliveries stand above this folder, so their tables are named in SQL here and nothing of theirs is
imported. Messages that were sent as a test count nowhere.
"""

from datetime import datetime
from typing import Final

from sqlalchemy import FromClause, Integer, Uuid, column, text

from push_server.db import Instant
from push_server.events.conversions import converts, stands

_SENT: Final = (
    "from campaign c join dispatch p on p.campaign_id = c.id and not p.is_test join delivery d on d.dispatch_id = p.id"
)
_RECEIPT: Final = "join receipt r on r.delivery_id = d.id and r.kind"
_CLICK: Final = {"customer_id": "d.customer_id", "clicked_at": "r.at"}

# outcome → instant, what is joined, condition
_HAPPENED: Final = {
    "accepted": ("d.accepted_at", "", "d.state = 'accepted'"),
    "shown": ("r.at", f"{_RECEIPT} = 'shown'", "true"),
    "clicked": ("r.at", f"{_RECEIPT} = 'clicked'", "true"),
}


def messages(site_id: int, outcome: str, at: datetime) -> FromClause:
    """(customer_id, campaign as its public id, ts) of each message with the outcome; orders as they stand at `at`."""
    if outcome == "converted":
        order = f"join order_value o on {converts('o', **_CLICK)} and {stands('o')}"
        ts, joined, condition = "o.ts", f"{_RECEIPT} = 'clicked' {order}", "true"
    else:
        ts, joined, condition = _HAPPENED[outcome]
    statement = text(
        f"select d.customer_id, c.public_id as campaign, {ts} as ts {_SENT} {joined}"
        f" where c.site_id = :site and {condition}"
    )
    bound = statement.bindparams(site=site_id, **({"now": at} if outcome == "converted" else {}))
    return bound.columns(column("customer_id", Integer), column("campaign", Uuid), column("ts", Instant)).subquery()


def messages_of_customers(outcome: str, customers: str) -> str:
    """SQL of (customer_id, campaign, ts, since, until) of some customers' messages, in psycopg's spelling.

    `customers` is an array of their ids; the parameter `site` is wanted. A message that led to an order counts from
    `since` until `until`, as that version of the order does.
    """
    if outcome == "converted":
        order = f"join order_value o on {converts('o', **_CLICK, site='%(site)s')}"
        ts, joined, condition = "o.ts", f"{_RECEIPT} = 'clicked' {order}", "true"
        standing = "o.since, o.until"
    else:
        ts, joined, condition = _HAPPENED[outcome]
        standing = "'-infinity'::timestamptz as since, 'infinity'::timestamptz as until"
    return (
        f"select d.customer_id, c.public_id as campaign, {ts} as ts, {standing} {_SENT} {joined}"
        f" where c.site_id = %(site)s and d.customer_id = any({customers}) and {condition}"
    )
