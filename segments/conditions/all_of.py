"""`{"all": [N, …]}`: every one holds; true when empty."""

from typing import ClassVar

from pydantic import Field

from segments import core
from segments.conditions.base import Condition, Node
from segments.conditions.not_ import Not
from segments.context import Context
from segments.language import Message
from segments.phrases import AND

_EXCEPT = Message("except {clause}", "after what is wanted")
_AND_EXCEPT = Message("{most} and {last}", "exceptions")
_BUT = Message("{wanted}, {exceptions}")
_ANY_KIND = Message("of any kind")


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

    @property
    def is_joined(self) -> bool:
        return len(self.all_) > 1 or any(node.is_joined for node in self.all_)

    def clause(self, context: Context) -> str:
        language = context.language
        if not self.all_:
            return language.say(_ANY_KIND)
        if len(self.all_) == 1:
            return self.all_[0].clause(context)
        wanted = [node.enclosed(context) for node in self.all_ if not isinstance(node, Not)]
        barred = [node for node in self.all_ if isinstance(node, Not)]
        if not wanted:
            return language.joined(_AND_EXCEPT, [node.clause(context) for node in barred])
        told = language.joined(AND, wanted)
        if not barred:
            return told
        exceptions = [language.say(_EXCEPT, clause=node.barred(context)) for node in barred]
        return language.say(_BUT, wanted=told, exceptions=language.joined(_AND_EXCEPT, exceptions))
