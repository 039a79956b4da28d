"""`{"rfm": {"recency": {"gte": 4}, "frequency": {"gte": 3}, "monetary": {"gte": 3}}}`: scores from 1 to 5.

A score is 1 + floor(5 · w / n): n customers have an order, w of them are strictly worse (last order earlier, fewer
orders, less revenue). Any of the three can be asked.
"""

from collections.abc import Iterator
from typing import ClassVar

from segments import core
from segments.conditions.base import Condition
from segments.context import Context
from segments.fields import Problem, Strict
from segments.language import Message
from segments.operators import NOT_GIVEN, Comparison
from segments.phrases import AND

_WHOSE = Message("whose {scores}")
_SCORES = {
    core.Score.RECENCY: Message("recency score is {compared}"),
    core.Score.FREQUENCY: Message("frequency score is {compared}"),
    core.Score.MONETARY: Message("monetary score is {compared}"),
}


class Scores(Strict):
    recency: Comparison = NOT_GIVEN
    frequency: Comparison = NOT_GIVEN
    monetary: Comparison = NOT_GIVEN

    def contradictions(self) -> Iterator[Problem]:
        if not self.asked():
            yield Problem("missing_field", f"one of these is needed: {', '.join(core.Score)}")

    def asked(self) -> list[tuple[core.Score, Comparison]]:
        """The scores that something is asked of."""
        return [(score, asked) for score in core.Score if (asked := getattr(self, score)) is not None]


class Rfm(Condition):
    kind: ClassVar[str] = "rfm"
    examples = (
        {"rfm": {"recency": {"gte": 4}, "frequency": {"gte": 3}, "monetary": {"gte": 3}}},
        {"rfm": {"recency": {"lte": 2}, "monetary": {"eq": 5}}},
    )

    rfm: Scores

    def lower(self) -> core.Node:
        return core.Rfm(tuple((score, asked.test()) for score, asked in self.rfm.asked()))

    def clause(self, context: Context) -> str:
        language = context.language
        scores = [language.say(_SCORES[score], compared=test.words(language)) for score, test in self.rfm.asked()]
        return language.say(_WHOSE, scores=language.joined(AND, scores))
