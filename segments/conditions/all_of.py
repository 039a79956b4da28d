"""`{"all": [N, …]}`: every one holds; true when empty."""

from typing import ClassVar

from pydantic import Field

from segments import core
from segments.conditions.base import Condition, Node
from segments.conditions.not_ import Not
from segments.context import Context


class All(Condition):
    kind: ClassVar[str] = "all"
    examples = ({"all": [{"attribute": "country", "eq": "HU"}, {"event": "Order Completed"}]},)

    all_: list[Node] = Field(alias="all")

    @property
    def parts(self) -> list[Condition]:
        return list(self.all_)

    def written(self) -> dict[str, object]:
        return {"all": []}

    def lower(self) -> core.Node:
        return core.And(tuple(node.lower() for node in self.all_))

    def clause(self, context: Context) -> str:
        wanted = [node.clause(context) for node in self.all_ if not isinstance(node, Not)]
        barred = [node.node.clause(context) for node in self.all_ if isinstance(node, Not)]
        parts = [" and ".join(wanted)] if wanted else []
        if barred:
            parts.append("except " + " and except ".join(barred))
        return ", ".join(parts) or "of any kind"
