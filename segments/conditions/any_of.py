"""`{"any": [N, …]}`: at least one holds; false when empty."""

from typing import ClassVar

from pydantic import Field

from segments import core
from segments.conditions.base import Condition, Node
from segments.context import Context
from segments.language import OR, Message

_EITHER = Message("either {clauses}")
_NO_KIND = Message("of no kind at all")


class Any(Condition):
    kind: ClassVar[str] = "any"
    examples = ({"any": [{"attribute": "country", "eq": "HU"}, {"attribute": "country", "eq": "NO"}]},)

    any_: list[Node] = Field(alias="any")

    @property
    def parts(self) -> list[Condition]:
        return list(self.any_)

    def written(self) -> dict[str, object]:
        return {"any": []}

    def lower(self) -> core.Node:
        return core.Or(tuple(node.lower() for node in self.any_))

    @property
    def is_joined(self) -> bool:
        return len(self.any_) > 1 or any(node.is_joined for node in self.any_)

    def clause(self, context: Context) -> str:
        language = context.language
        if not self.any_:
            return language.say(_NO_KIND)
        if len(self.any_) == 1:
            return self.any_[0].clause(context)
        parts = [node.enclosed(context) for node in self.any_]
        return language.say(_EITHER, clauses=language.joined(OR, parts))
