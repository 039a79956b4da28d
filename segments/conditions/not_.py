"""`{"not": N}`: the complement over all customers of the site."""

from typing import ClassVar

from pydantic import Field

from segments import core
from segments.conditions.any_of import Any
from segments.conditions.base import Condition, Node
from segments.context import Context
from segments.language import Message

_EXCEPT = Message("except {clause}")


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

    @property
    def is_joined(self) -> bool:
        return True  # “(except A) or B” and “except A or B” are not the same

    def clause(self, context: Context) -> str:
        return context.language.say(_EXCEPT, clause=self.barred(context))

    def barred(self, context: Context) -> str:
        """The clause of who is out; “either … or …” needs no brackets, since nothing can follow."""
        return self.node.clause(context) if isinstance(self.node, Any) else self.node.enclosed(context)
