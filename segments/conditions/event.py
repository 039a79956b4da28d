"""`{"event": "Product Viewed", "where": {…}, "count": {"gte": 3}, "within": "14d"}`: what a customer did.

Without an aggregate it means at least once. `Order Completed` counts orders as they stand: refunds and cancellations
count from their own instants on.
"""

from typing import ClassVar

from pydantic import Field

from segments import core
from segments.conditions.occurrences import Occurrences
from segments.conditions.window import EVENTS
from segments.context import Context
from segments.fields import Name
from segments.names import ORDER_COMPLETED, canonical
from segments.operators import PropertyTests


class Event(Occurrences):
    kind: ClassVar[str] = "event"
    examples = (
        {"event": "Product Viewed", "where": {"category": {"eq": "dog"}}, "count": {"gte": 3}, "within": "14d"},
        {"event": "Order Completed", "sum": {"of": "revenue", "gte": 500}, "within": "365d"},
        {"event": "Order Completed", "last": {"before": "30d"}},
    )

    event: Name
    where: PropertyTests = Field(default_factory=dict)

    def lower(self) -> core.Node:
        name = canonical(self.event)
        if name == ORDER_COMPLETED:
            return self.fold(core.Stream.ORDERS, "", self.where)
        return self.fold(core.Stream.EVENTS, name, self.where)

    def clause(self, context: Context) -> str:
        return self.told(context.language, EVENTS, {"event": canonical(self.event)}, self.where)
