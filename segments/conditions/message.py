"""`{"message": {"campaign": "id", "outcome": "shown", "within": "30d"}}`: what became of a message to them.

Each outcome has its own instant, and that is what the window is about: when the push service accepted the message, when
it was shown or clicked, and, of one that converted, when the order was placed.
"""

from typing import Annotated, Any, ClassVar

from pydantic import PlainValidator
from pydantic import ValidationInfo as Info

from segments import core
from segments.conditions.base import Condition
from segments.conditions.window import Windowed
from segments.context import Context
from segments.fields import context_of, described, fault
from segments.language import Message as Text
from segments.operators import NOT_GIVEN

_EVER = {
    core.Outcome.ACCEPTED: Text("to whom {campaign} was sent"),
    core.Outcome.SHOWN: Text("who were shown {campaign}"),
    core.Outcome.CLICKED: Text("who clicked {campaign}"),
    core.Outcome.CONVERTED: Text("who ordered after clicking {campaign}"),
}
_IN_WINDOW = {
    core.Outcome.ACCEPTED: Text("to whom {campaign} was sent {window}"),
    core.Outcome.SHOWN: Text("who were shown {campaign} {window}"),
    core.Outcome.CLICKED: Text("who clicked {campaign} {window}"),
    core.Outcome.CONVERTED: Text("who ordered after clicking {campaign} {window}"),
}
_SOME, _NAMED = Text("some campaign"), Text("the campaign “{name}”")


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


class Sent(Windowed):
    at_most_one = Windowed.one_window

    campaign: Annotated[str, PlainValidator(_campaign)] = NOT_GIVEN
    outcome: Annotated[core.Outcome, PlainValidator(_outcome)]


class Message(Condition):
    kind: ClassVar[str] = "message"
    examples = ({"message": {"outcome": "clicked", "within": "30d"}},)

    message: Sent

    def lower(self) -> core.Node:
        asked = self.message
        return core.Message(asked.campaign, asked.outcome, asked.window())

    def clause(self, context: Context) -> str:
        asked, language = self.message, context.language
        if asked.campaign:
            found = context.campaign(asked.campaign)
            campaign = language.say(_NAMED, name=found.name if found else asked.campaign)
        else:
            campaign = language.say(_SOME)
        window = asked.window_words(language)
        if window is None:
            return language.say(_EVER[asked.outcome], campaign=campaign)
        return language.say(_IN_WINDOW[asked.outcome], campaign=campaign, window=window)
