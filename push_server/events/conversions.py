"""What counts as a conversion: an order that stands, by who clicked, within three days after the click.

Reports count them and rules of segments ask for them; both take the definition from here.
"""

from typing import Final

CONVERSION_HOURS: Final = 72


def converts(order: str, *, customer_id: str, clicked_at: str, site: str = ":site") -> str:
    """SQL that says whether a row of order_value, by its alias, converts a click, by its columns, while it stands."""
    return (
        f"{order}.site_id = {site} and {order}.customer_id = {customer_id} and {order}.ts > {clicked_at}"
        f" and {order}.ts <= {clicked_at} + make_interval(hours => {CONVERSION_HOURS})"
    )


def stands(order: str) -> str:
    """SQL that says whether a row of order_value is the order as it stands at the instant `:now`."""
    return f"{order}.since <= :now and {order}.until > :now"
