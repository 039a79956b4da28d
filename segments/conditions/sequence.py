"""`{"sequence": [{"event": "Product Added"}, {"event": "Order Completed", "absent": true}], "gap": "1h", …}`: in order.

Each step is strictly later than the one before it. `within` is the first step's window; `same` wants one value of a
property in all steps, and any such value will do. An absent last step has not come since the newest event that
completes the steps before it, and that event is at least `gap` old.
"""

from collections.abc import Iterator
from typing import ClassVar

from segments import core
from segments.conditions.base import Condition
from segments.conditions.window import EVENTS, PURCHASES, event_source, tests_of
from segments.context import Context
from segments.fields import Name, Problem, Span, Strict
from segments.language import Language, Message
from segments.names import canonical
from segments.operators import NOT_GIVEN, PropertyTests
from segments.phrases import FOR, IN_THE_LAST, length

_MOST_STEPS = 10
_THEN = Message("{before}, then {events}")
_THEN_NONE = Message("{before}, then no {events}")
_THEN_NONE_FOR = Message("{before}, then no {events} {length}")
_IN_ORDER, _SAME = Message("with {steps}"), Message("with {steps}, with the same {property}")


class Step(Strict):
    """An event, or a line of an order (`bought`)."""

    event: Name = NOT_GIVEN
    where: PropertyTests = NOT_GIVEN
    bought: PropertyTests = NOT_GIVEN
    absent: bool = False

    def contradictions(self) -> Iterator[Problem]:
        if self.event is None and self.bought is None:
            yield Problem("missing_field", "this field is needed, or bought", ("event",))
        elif self.bought is not None:
            if self.event is not None:
                yield Problem("two_conditions", "event and bought are each a step of their own", ("bought",))
            if self.where is not None:
                yield Problem("unknown_field", "bought itself says which lines", ("where",))

    def source(self, window: core.Window) -> core.Source:
        """What the step looks at."""
        if self.bought is not None:
            return core.Source(core.Stream.LINES, "", tests_of(self.bought), window)
        return event_source(self.event, self.where or {}, window)

    def words(self, language: Language, window: str | None) -> str:
        """`“Product Added” events in the last 24 hours whose price is at least 5`."""
        if self.bought is not None:
            return PURCHASES.words(language, {}, window, self.bought)
        return EVENTS.words(language, {"event": canonical(self.event)}, window, self.where or {})


class Sequence(Condition):
    kind: ClassVar[str] = "sequence"
    examples = (
        {
            "sequence": [{"event": "Product Added"}, {"event": "Order Completed", "absent": True}],
            "gap": "1h",
            "within": "24h",
            "same": "cart_id",
        },
        {"sequence": [{"bought": {"category": {"eq": "dog"}}}, {"bought": {"category": {"eq": "cat"}}}]},
    )

    sequence: list[Step]
    gap: Span = NOT_GIVEN
    within: Span = NOT_GIVEN
    same: Name = NOT_GIVEN

    def contradictions(self) -> Iterator[Problem]:
        if len(self.sequence) < 2:
            yield Problem("too_few", "a sequence has at least two steps", ("sequence",))
        if len(self.sequence) > _MOST_STEPS:
            yield Problem("too_many", f"a sequence has at most {_MOST_STEPS} steps", ("sequence",))
        for index, step in enumerate(self.sequence[:-1]):
            if step.absent:
                yield Problem("absent_not_last", "only the last step can be absent", ("sequence", index, "absent"))
        if self.gap and not any(step.absent for step in self.sequence):
            yield Problem("gap_without_absent", "says how long an absent last step has not come: none is", ("gap",))

    def lower(self) -> core.Node:
        # All steps are later than the first one, so its window holds for them as well.
        window = core.Window(self.within.length if self.within else None)
        sources = tuple(step.source(window) for step in self.sequence)
        length = self.gap.length if self.gap else None
        if self.sequence[-1].absent:
            return core.Sequence(sources[:-1], sources[-1], length, self.same)
        return core.Sequence(sources, None, None, self.same)

    def clause(self, context: Context) -> str:
        first, *rest = self.sequence
        language = context.language
        window = length(language, IN_THE_LAST, self.within) if self.within else None
        steps = first.words(language, window)
        for step in rest:
            steps = self._then(language, steps, step)
        if self.same:
            return language.say(_SAME, steps=steps, property=self.same)
        return language.say(_IN_ORDER, steps=steps)

    def _then(self, language: Language, before: str, step: Step) -> str:
        events = step.words(language, None)
        if not step.absent:
            return language.say(_THEN, before=before, events=events)
        if not self.gap:
            return language.say(_THEN_NONE, before=before, events=events)
        return language.say(_THEN_NONE_FOR, before=before, events=events, length=length(language, FOR, self.gap))
