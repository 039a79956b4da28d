"""`{"not": N}`: the complement over all customers of the site."""

from typing import ClassVar

from pydantic import Field

from segments import core
from segments.conditions.base import Condition, Node
from segments.context import Context


class Not(Condition):
    kind: ClassVar[str] = "not"
    examples = ({"not": {"event": "Order Completed", "within": "60d"}},)

    node: Node = Field(alias="not")

    @property
    def parts(self) -> list[Condition]:
        return [self.node]

    def written(self) -> dict[str, object]:
        return {"not": {}}

    def lower(self) -> core.Node:
        return core.Not(self.node.lower())

    def clause(self, context: Context) -> str:
        return f"except {self.node.clause(context)}"
