"""`{"tier": {"in": ["gold"]}}`: the customer's loyalty tier passes one operator; without one it is missing."""

from typing import ClassVar

from segments import core
from segments.conditions.base import Condition
from segments.context import Context
from segments.language import Message
from segments.operators import PropertyTest

_WHOSE = Message("whose loyalty tier {test}")


class Tier(Condition):
    kind: ClassVar[str] = "tier"
    examples = ({"tier": {"in": ["gold", "platinum"]}}, {"tier": {"exists": False}})

    tier: PropertyTest

    def lower(self) -> core.Node:
        return core.Tier(self.tier.test())

    def clause(self, context: Context) -> str:
        language = context.language
        return language.say(_WHOSE, test=self.tier.words(language))
