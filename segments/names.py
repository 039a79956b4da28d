"""Names of events: today's, and the older ones that mean the same (Segment's e-commerce specification)."""

ORDER_COMPLETED = "Order Completed"
ORDER_CANCELLED = "Order Cancelled"
ORDER_REFUNDED = "Order Refunded"

ALIASES = {
    "Viewed Product": "Product Viewed",
    "Added Product": "Product Added",
    "Removed Product": "Product Removed",
    "Completed Order": ORDER_COMPLETED,
    "Started Order": "Checkout Started",
    "Viewed Product Category": "Product List Viewed",
}

# Properties that name an order's value: revenue, else total, else value.
ORDER_VALUE = ("revenue", "total", "value")


def canonical(name: str) -> str:
    """Today's name of an event."""
    return ALIASES.get(name, name)
