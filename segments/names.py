"""Event names: the e-commerce vocabulary's old names mean its new ones, when stored and when asked for."""

CANONICAL_EVENTS: dict[str, str] = {
    "Viewed Product": "Product Viewed",
    "Added Product": "Product Added",
    "Removed Product": "Product Removed",
    "Completed Order": "Order Completed",
    "Started Order": "Checkout Started",
    "Viewed Product Category": "Product List Viewed",
}


def canonical_event(name: str) -> str:
    """The name under which an event is kept: `Completed Order` is `Order Completed`; others stay as they are."""
    return CANONICAL_EVENTS.get(name, name)
