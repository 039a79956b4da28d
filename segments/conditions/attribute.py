"""`{"attribute": "country", "in": ["HU", "NO"]}`: a customer's attribute passes one operator.

A missing value makes every operator false, except `ne`, `not_in` (true) and `exists: false`.
"""

from typing import ClassVar

from segments import core
from segments.conditions.base import Condition
from segments.context import Context
from segments.fields import Name
from segments.language import Message
from segments.operators import AttributeTest

_WHOSE = Message("whose {attribute} {test}")


class Attribute(AttributeTest, Condition):
    kind: ClassVar[str] = "attribute"
    examples = (
        {"attribute": "country", "in": ["HU", "NO"]},
        {"attribute": "birthday", "anniversary_within": "7d"},
        {"attribute": "email", "exists": True},
    )

    attribute: Name

    def lower(self) -> core.Node:
        return core.Attribute(self.attribute, self.test())

    def clause(self, context: Context) -> str:
        language = context.language
        return language.say(_WHOSE, attribute=self.attribute, test=self.words(language))
