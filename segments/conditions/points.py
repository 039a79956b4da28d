"""`{"points": {"balance": {"gte": 200}}}`, `{"points": {"expiring": {"gte": 200}, "within": "7d"}}`: loyalty points.

The balance is what is unspent of the lots alive; expiring is the part of it whose expiry `e` has `t < e <= t+W`.
Without any points both are 0. What was spent has drawn from the lot that expired first.
"""

from collections.abc import Iterator
from typing import ClassVar

from segments import core
from segments.conditions.base import Condition
from segments.context import Context
from segments.fields import Problem, Span, Strict
from segments.language import Message
from segments.operators import NOT_GIVEN, Comparison
from segments.phrases import WITHIN_THE_NEXT, length

_BALANCE = Message("whose balance of points is {compared}")
_EXPIRING = Message("whose points that expire {length} are {compared}")


class Asked(Strict):
    exactly_one: ClassVar[tuple[str, ...]] = ("balance", "expiring")

    balance: Comparison = NOT_GIVEN
    expiring: Comparison = NOT_GIVEN
    within: Span = NOT_GIVEN

    def contradictions(self) -> Iterator[Problem]:
        if self.expiring and not self.within:
            yield Problem("missing_field", 'this field is needed beside expiring, such as "7d"', ("within",))
        if self.within and not self.expiring:
            yield Problem("unknown_field", "goes with expiring only: a balance is that of the instant", ("within",))


class Points(Condition):
    kind: ClassVar[str] = "points"
    examples = (
        {"points": {"balance": {"gte": 200}}},
        {"points": {"expiring": {"gte": 200}, "within": "7d"}},
    )

    points: Asked

    def lower(self) -> core.Node:
        asked = self.points
        if asked.balance:
            return core.Points(None, asked.balance.test())
        return core.Points(asked.within.length, asked.expiring.test())

    def clause(self, context: Context) -> str:
        asked, language = self.points, context.language
        if asked.balance:
            return language.say(_BALANCE, compared=asked.balance.words(language))
        ahead = length(language, WITHIN_THE_NEXT, asked.within)
        return language.say(_EXPIRING, length=ahead, compared=asked.expiring.words(language))
