"""What became of campaigns' messages, as rules of segments ask for it.

Campaigns and deliveries stand above this folder, so their tables are named in SQL here and nothing of theirs is
imported. Messages that were sent as a test count nowhere.
"""

from datetime import datetime
from typing import Final

from sqlalchemy import FromClause, Integer, Uuid, column, text

from push_server.db import Instant
from push_server.events.conversions import converts

_SENT: Final = (
    "from campaign c join dispatch p on p.campaign_id = c.id and not p.is_test join delivery d on d.dispatch_id = p.id"
)
_RECEIPT: Final = "join receipt r on r.delivery_id = d.id and r.kind"
_ORDER: Final = f"join order_value o on {converts('o', customer_id='d.customer_id', clicked_at='r.at')}"

_HAPPENED: Final = {
    "accepted": ("d.accepted_at", "", "d.state = 'accepted'"),
    "shown": ("r.at", f"{_RECEIPT} = 'shown'", "true"),
    "clicked": ("r.at", f"{_RECEIPT} = 'clicked'", "true"),
    "converted": ("o.ts", f"{_RECEIPT} = 'clicked' {_ORDER}", "true"),
}


def messages(site_id: int, outcome: str, at: datetime) -> FromClause:
    """(customer_id, campaign as its public id, ts) of each message with the outcome; orders as they stand at `at`."""
    ts, joined, condition = _HAPPENED[outcome]
    statement = text(
        f"select d.customer_id, c.public_id as campaign, {ts} as ts {_SENT} {joined}"
        f" where c.site_id = :site and {condition}"
    )
    bound = statement.bindparams(site=site_id, **({"now": at} if outcome == "converted" else {}))
    return bound.columns(column("customer_id", Integer), column("campaign", Uuid), column("ts", Instant)).subquery()
