"""`{"topic": "sales"}`: one of their active subscriptions is to this topic."""

from typing import ClassVar

from segments import core
from segments.conditions.base import Condition
from segments.context import Context
from segments.fields import Name
from segments.language import Message

_SUBSCRIBED = Message("subscribed to the topic “{topic}”")


class Topic(Condition):
    kind: ClassVar[str] = "topic"
    examples = ({"topic": "sales"},)

    topic: Name

    def lower(self) -> core.Node:
        return core.Subscribed((("topics", core.Test(core.Op.CONTAINS, self.topic)),))

    def clause(self, context: Context) -> str:
        return context.language.say(_SUBSCRIBED, topic=self.topic)
