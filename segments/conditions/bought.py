"""`{"bought": {"category": {"eq": "dog"}}, "count": …, "sum": …, "within": …}`: lines of orders.

`count` counts order lines, `revenue` of a line is price × quantity, and a line without a category takes the
catalogue's.
"""

from typing import ClassVar

from segments import core
from segments.conditions.occurrences import Occurrences
from segments.conditions.window import PURCHASES
from segments.context import Context
from segments.operators import PropertyTests


class Bought(Occurrences):
    kind: ClassVar[str] = "bought"
    examples = (
        {"bought": {"category": {"eq": "dog"}}, "within": "180d"},
        {"bought": {"brand": {"eq": "Acme"}}, "sum": {"of": "revenue", "gte": 100}},
    )

    bought: PropertyTests

    def lower(self) -> core.Node:
        return self.fold(core.Stream.LINES, "", self.bought)

    def clause(self, context: Context) -> str:
        return self.told(context.language, PURCHASES, {}, self.bought)
