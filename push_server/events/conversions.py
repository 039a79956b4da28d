"""What counts as a conversion: an order that stands, by who clicked, within three days after the click.

Reports count them and rules of segments ask for them; both take the definition from here.
"""

from typing import Final

CONVERSION_HOURS: Final = 72


def converts(order: str, *, customer_id: str, clicked_at: str) -> str:
    """SQL that says whether a row of order_value, by its alias, converts a click, by its columns.

    The statement has the parameters `site` and `now`: the order counts as it stands at that instant.
    """
    return (
        f"{order}.site_id = :site and {order}.customer_id = {customer_id} and {order}.ts > {clicked_at}"
        f" and {order}.ts <= {clicked_at} + make_interval(hours => {CONVERSION_HOURS})"
        f" and {order}.since <= :now and {order}.until > :now"
    )
