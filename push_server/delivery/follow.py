"""Deliveries follow a browser that has subscribed anew: what waits for the former subscription goes to the new one."""

from typing import Any

import psycopg

from push_server import clock


def follow(conn: psycopg.Connection[Any], site_id: int, customer_id: int, former: int, new: int) -> None:
    """Hand what is not on its way yet over to the `new` subscription of that customer, which has no deliveries yet."""
    conn.execute(
        "update delivery set subscription_id = %s, updated_at = %s where site_id = %s and customer_id = %s"
        " and subscription_id = %s and state in ('queued', 'retry')",
        [new, clock.now(), site_id, customer_id, former],
    )
