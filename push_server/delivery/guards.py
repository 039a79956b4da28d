"""What a message promises, looked up when it is sent: prices that are the lowest, and customers who have not bought."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import text

from push_server import clock
from push_server.db import SiteSession
from push_server.events.conversions import stands

PRICE_DAYS: Final = 30
"""The days before a reduction whose lowest price is to be named with it (directive 98/6/EC, article 6a)."""


def are_lowest(session: SiteSession, product_ids: Sequence[str]) -> bool:
    """Whether each of these products has a price, and had no lower one in the last PRICE_DAYS days."""
    now = clock.now()
    asked = {"site": session.site_id, "ids": list(product_ids), "since": now - timedelta(days=PRICE_DAYS)}
    return int(session.sql(_LOWEST, asked).scalar_one()) == len(set(product_ids))


def bought(
    session: SiteSession, customers: Sequence[int], product_ids: Sequence[str] | None, since: datetime
) -> set[int]:
    """Those of the customers who have ordered one of these products since then; None: anything at all.

    Orders count that stand now: what was cancelled or refunded was not bought.
    """
    statement = _BOUGHT if product_ids is None else _BOUGHT_ONE_OF
    asked = {"site": session.site_id, "customers": list(customers), "since": since, "now": clock.now()}
    return set(session.sql(statement, asked | ({} if product_ids is None else {"ids": list(product_ids)})).scalars())


# The price at the beginning of these days is that of the last change before them.
_LOWEST = text(
    """
    select count(*) from product p where p.site_id = :site and p.product_id = any(:ids) and p.price <= (
        select min(h.price) from product_history h where h.product_ref = p.id and h.at >= coalesce(
            (select max(at) from product_history where product_ref = p.id and at <= :since), '-infinity'))
    """
)
_BOUGHT = text(
    f"""
    select distinct o.customer_id from order_value o where o.site_id = :site and o.customer_id = any(:customers)
    and o.ts > :since and o.ts <= :now and {stands("o")}
    """  # noqa: S608 - no text from outside
)
_BOUGHT_ONE_OF = text(
    f"""
    select distinct o.customer_id from order_line o join term t on t.id = o.product_id
    where o.site_id = :site and o.customer_id = any(:customers) and o.ts > :since and o.ts <= :now and {stands("o")}
    and t.site_id = :site and t.text = any(:ids)
    """  # noqa: S608 - no text from outside
)
