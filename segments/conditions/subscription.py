"""`{"subscription": {"browser": {"in": ["firefox"]}}}`: one of their active subscriptions passes all the tests.

Without a test it asks only whether there is an active subscription at all.
"""

from typing import ClassVar

from segments import core
from segments.conditions.base import Condition
from segments.conditions.window import tests_words
from segments.context import Context
from segments.fields import Strict
from segments.language import Message
from segments.operators import NOT_GIVEN, PropertyTest

_SOME = Message("with an active subscription")
_TESTED = Message("with an active subscription whose {tests}")


class Facts(Strict):
    browser: PropertyTest = NOT_GIVEN
    locale: PropertyTest = NOT_GIVEN
    time_zone: PropertyTest = NOT_GIVEN
    topics: PropertyTest = NOT_GIVEN
    created_at: PropertyTest = NOT_GIVEN

    def given(self) -> list[tuple[str, PropertyTest]]:
        """The facts asked for, in one order, so that equal conditions are equal."""
        return [(name, getattr(self, name)) for name in type(self).model_fields if name in self.model_fields_set]


class Subscription(Condition):
    kind: ClassVar[str] = "subscription"
    examples = (
        {"subscription": {"browser": {"in": ["firefox"]}}},
        {"subscription": {"created_at": {"within_last": "30d"}}},
        {"subscription": {}},
    )

    subscription: Facts

    def lower(self) -> core.Node:
        return core.Subscribed(tuple((name, tested.test()) for name, tested in self.subscription.given()))

    def clause(self, context: Context) -> str:
        language, given = context.language, dict(self.subscription.given())
        return language.say(_TESTED, tests=tests_words(language, given)) if given else language.say(_SOME)
