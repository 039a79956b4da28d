"""What every kind of condition is: its fields, what it lowers to, its words, and examples."""

from abc import abstractmethod
from typing import Annotated, Any, ClassVar

from pydantic import PlainValidator, PrivateAttr
from pydantic import ValidationInfo as Info

from segments import core
from segments.context import Context
from segments.fields import Strict, described, fault
from segments.language import Message

_ENCLOSED = Message("({clause})")


class Condition(Strict):
    """A node of a rule. `kind` is the field that names it; subclasses are found by their file in this folder."""

    kind: ClassVar[str] = ""
    examples: ClassVar[tuple[dict[str, Any], ...]] = ()
    _document: dict[str, Any] = PrivateAttr(default_factory=dict)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.kind:
            _kinds[cls.kind] = cls

    @property
    def parts(self) -> "list[Condition]":
        """The conditions that this one joins."""
        return []

    def written(self) -> dict[str, Any]:
        """The condition as the rule wrote it, but for the conditions that it joins."""
        return self._document

    @abstractmethod
    def lower(self) -> core.Node:
        """The same in core nodes."""

    @abstractmethod
    def clause(self, context: Context) -> str:
        """Words that follow “Customers …”: `whose country is “HU”`, `with no “Order Completed” events`."""

    @property
    def is_joined(self) -> bool:
        """Whether the clause joins others, and so needs brackets inside another one."""
        return False

    def enclosed(self, context: Context) -> str:
        """The clause as a part of another one."""
        clause = self.clause(context)
        return context.language.say(_ENCLOSED, clause=clause) if self.is_joined else clause


_kinds: dict[str, type[Condition]] = {}


def kinds() -> dict[str, type[Condition]]:
    """Every kind of condition by its name."""
    return dict(sorted(_kinds.items()))


def _read(value: Any, info: Info) -> Condition:
    if not isinstance(value, dict):
        raise fault("wrong_type", f"must be a condition, which is an object, not {described(value)}")
    named = [name for name in value if name in _kinds]
    if not named:
        raise fault("unknown_condition", f"must have one of these: {', '.join(kinds())}")
    if len(named) > 1:
        raise fault("two_conditions", f"{' and '.join(named)} are each a condition of their own: join them by `all`")
    read = _kinds[named[0]].model_validate(value, context=info.context)
    read._document = value
    return read


Node = Annotated[Condition, PlainValidator(_read)]
