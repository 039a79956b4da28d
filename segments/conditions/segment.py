"""`{"segment": "id"}`: member of another segment; no segment may lead back to itself."""

from typing import Annotated, Any, ClassVar

from pydantic import PlainValidator
from pydantic import ValidationInfo as Info

from segments import core
from segments.check import DEEPEST_NESTING, Nesting, follow
from segments.conditions.base import Condition
from segments.context import Context
from segments.fields import context_of, described, fault
from segments.language import Message

_IN = Message("in the segment “{name}”")


def _read(value: Any, info: Info) -> str:
    if not isinstance(value, str):
        raise fault("wrong_type", f"must be a segment's id, not {described(value)}")
    context = context_of(info)
    found = context.segment(value)
    if found is None:
        raise fault("unknown_segment", "there is no segment with this id")
    nesting = follow(found.id, context)
    if nesting is Nesting.CYCLE:
        raise fault("segment_cycle", f"the segment “{found.name}” leads back to this one")
    if nesting is Nesting.TOO_DEEP:
        raise fault("too_deep", f"segments nest at most {DEEPEST_NESTING} deep")
    return found.id


class Segment(Condition):
    kind: ClassVar[str] = "segment"

    segment: Annotated[str, PlainValidator(_read)]

    def lower(self) -> core.Node:
        return core.Member(self.segment)

    def clause(self, context: Context) -> str:
        found = context.segment(self.segment)
        return context.language.say(_IN, name=found.name if found else self.segment)
