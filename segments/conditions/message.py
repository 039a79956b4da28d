"""`{"message": {"campaign": "id", "outcome": "shown", "within": "30d"}}`: what became of a message to them.

Each outcome has its own instant, and that is what the window is about: when the push service accepted the message, when
it was shown or clicked, and, of one that converted, when the order was placed.
"""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

from pydantic import Field, PlainValidator
from pydantic import ValidationInfo as Info

from segments import core
from segments.conditions.base import Condition
from segments.context import Context
from segments.fields import Date, Problem, Span, Strict, context_of, described, fault
from segments.operators import NOT_GIVEN

_WORDS = {
    core.Outcome.ACCEPTED: "to whom {what} was sent",
    core.Outcome.SHOWN: "who were shown {what}",
    core.Outcome.CLICKED: "who clicked {what}",
    core.Outcome.CONVERTED: "who ordered after clicking {what}",
}


def _campaign(value: Any, info: Info) -> str:
    if not isinstance(value, str):
        raise fault("wrong_type", f"must be a campaign's id, not {described(value)}")
    found = context_of(info).campaign(value)
    if found is None:
        raise fault("unknown_campaign", "there is no campaign with this id")
    return found.id


def _outcome(value: Any) -> core.Outcome:
    if not isinstance(value, str) or value not in set(core.Outcome):
        raise fault("unknown_outcome", f"must be one of these: {', '.join(core.Outcome)}")
    return core.Outcome(value)


class Sent(Strict):
    at_most_one: ClassVar[tuple[tuple[str, tuple[str, ...]], ...]] = (
        ("two_windows", ("within", "from")),
        ("two_windows", ("within", "to")),
    )

    campaign: Annotated[str, PlainValidator(_campaign)] = NOT_GIVEN
    outcome: Annotated[core.Outcome, PlainValidator(_outcome)]
    within: Span = NOT_GIVEN
    from_: Date = Field(default=NOT_GIVEN, alias="from")
    to: Date = NOT_GIVEN

    def contradictions(self) -> Iterator[Problem]:
        if self.from_ and self.to and self.from_.at >= self.to.at:
            yield Problem("empty_window", "must be later than from: nothing lies in between", ("to",))


class Message(Condition):
    kind: ClassVar[str] = "message"
    examples = ({"message": {"outcome": "clicked", "within": "30d"}},)

    message: Sent

    def lower(self) -> core.Node:
        asked = self.message
        window = core.Window(
            asked.within.length if asked.within else None,
            asked.from_.at if asked.from_ else None,
            asked.to.at if asked.to else None,
        )
        return core.Message(asked.campaign, asked.outcome, window)

    def clause(self, context: Context) -> str:
        asked = self.message
        found = context.campaign(asked.campaign) if asked.campaign else None
        what = f"the campaign “{found.name if found else asked.campaign}”" if asked.campaign else "some campaign"
        words = _WORDS[asked.outcome].format(what=what)
        if asked.within:
            return f"{words} in the last {asked.within.words}"
        words += f" from {asked.from_.text}" if asked.from_ else ""
        return words + (f" until {asked.to.text}" if asked.to else "")
