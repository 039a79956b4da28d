"""`{"replenish": {"within": "7d"}}`: something the customer bought is about to run out.

A product lasts its lifespan (`lifespan_days` in the catalogue) from its last purchase by this customer. Lines that were
cancelled or given back are no purchases.
"""

from typing import ClassVar

from segments import core
from segments.conditions.base import Condition
from segments.context import Context
from segments.fields import Span, Strict
from segments.language import Message
from segments.phrases import WITHIN_THE_NEXT, length

_RUNS_OUT = Message("with a purchase that runs out {length}")


class Ahead(Strict):
    within: Span


class Replenish(Condition):
    kind: ClassVar[str] = "replenish"
    examples = ({"replenish": {"within": "7d"}},)

    replenish: Ahead

    def lower(self) -> core.Node:
        return core.Replenish(self.replenish.within.length)

    def clause(self, context: Context) -> str:
        language = context.language
        return language.say(_RUNS_OUT, length=length(language, WITHIN_THE_NEXT, self.replenish.within))
