"""The stored JSON document, `{"version": 1, "where": NODE}`, and how it is read."""

from typing import Annotated, Any

from pydantic import PlainValidator, ValidationError

from segments import core
from segments.check import MOST_TOGETHER, check_document, json_path, together
from segments.conditions import Node
from segments.context import Context
from segments.errors import RuleError, RuleFault
from segments.fields import Strict, fault
from segments.retention import beyond

VERSION = 1


def _version(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value != VERSION:
        raise fault("unknown_version", f"must be {VERSION}, the version of the language that is known here")
    return value


class Rule(Strict):
    """A rule that was read without faults."""

    version: Annotated[int, PlainValidator(_version)]
    where: Node

    def lower(self) -> core.Node:
        """The same in core nodes."""
        return self.where.lower()


def parse(document: Any, context: Context) -> Rule:
    """Read a rule; RuleError names every fault by its JSON path."""
    faults = check_document(document)
    if faults:
        raise RuleError(faults)
    try:
        read = Rule.model_validate(document, context=context)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise RuleError([RuleFault(json_path(each["loc"]), each["msg"], each["type"]) for each in found]) from None
    many = together(document, context)
    if many > MOST_TOGETHER:
        message = f"with the segments that it names, a rule has at most {MOST_TOGETHER} conditions, and this has {many}"
        raise RuleError([RuleFault("$.where", message, "too_many")])
    if gone := beyond(read.where, context):
        raise RuleError(gone)
    return read
