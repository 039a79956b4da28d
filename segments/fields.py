"""The strict base of everything in a rule, and the values that its fields take.

A rule is refused with all its faults at once, each with a stable code. So the base lets pydantic find what is wrong
with each field, adds what is wrong between fields, and puts both into words; numbers are never read from text.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, PlainValidator, ValidationError, model_validator
from pydantic import ValidationInfo as Info
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from segments.context import Context
from segments.core import Scalar as CoreScalar
from segments.moments import LONGEST, Duration, Moment, read_duration, read_moment

LARGEST_NUMBER = 10**15
LONGEST_TEXT = 1000
LONGEST_NAME = 255
LONGEST_LIST = 1000


@dataclass(frozen=True, slots=True)
class Problem:
    """A fault between fields; `where` is the path below the object."""

    code: str
    message: str
    where: tuple[str | int, ...] = ()


def fault(code: str, message: str) -> PydanticCustomError:
    """What a field's reader raises."""
    return PydanticCustomError(code, "{message}", {"message": message})


class Strict(BaseModel):
    """Refuses unknown fields, null, and combinations that contradict."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, arbitrary_types_allowed=True)

    exactly_one: ClassVar[tuple[str, ...]] = ()
    at_most_one: ClassVar[tuple[tuple[str, tuple[str, ...]], ...]] = ()  # code of the fault, fields

    def contradictions(self) -> Iterator[Problem]:
        """What is wrong between fields that are each right."""
        yield from ()

    @classmethod
    def known_fields(cls) -> list[str]:
        """The fields as rules write them."""
        return [field.alias or name for name, field in cls.model_fields.items()]

    @model_validator(mode="wrap")
    @classmethod
    def _collect(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        problems = list(cls._combinations(value)) if isinstance(value, dict) else []
        nulls = {problem.where for problem in problems if problem.code == "null"}
        details = [_detail(problem) for problem in problems]
        try:
            read = handler(value)
            details += [_detail(problem) for problem in read.contradictions()]
        except ValidationError as error:
            found = [each for each in error.errors(include_url=False, include_input=False) if each["loc"] not in nulls]
            details = [_translated(each, cls.known_fields()) for each in found] + details
        if details:
            raise ValidationError.from_exception_data(cls.__name__, details)
        return read

    @classmethod
    def _combinations(cls, value: dict[str, Any]) -> Iterator[Problem]:
        for name in cls.known_fields():
            if name in value and value[name] is None:
                yield Problem("null", "null stands for nothing here: leave the field out", (name,))
        if cls.exactly_one:
            given = [name for name in cls.exactly_one if name in value]
            if not given and value.keys() <= set(cls.known_fields()):  # else the unknown field is what is wrong
                yield Problem("missing_operator", f"one of these is needed: {', '.join(cls.exactly_one)}")
            for name in given[1:]:
                yield Problem(
                    "two_operators",
                    f"only one operator can stand here, and {given[0]} stands already; join two conditions by `all`",
                    (name,),
                )
        for code, group in cls.at_most_one:
            given = [name for name in group if name in value]
            for name in given[1:]:
                yield Problem(code, f"{name} cannot stand beside {given[0]}: choose one", (name,))


def _detail(problem: Problem) -> InitErrorDetails:
    return InitErrorDetails(type=fault(problem.code, problem.message), loc=problem.where, input=None)


_MESSAGES = {
    "missing": ("missing_field", "this field is needed"),
    "model_type": ("wrong_type", "must be an object"),
    "dict_type": ("wrong_type", "must be an object"),
    "list_type": ("wrong_type", "must be a list"),
    "bool_type": ("wrong_type", "must be true or false"),
}


def _translated(error: ErrorDetails, known: list[str]) -> InitErrorDetails:
    code, message = _MESSAGES.get(error["type"], (error["type"], error["msg"]))
    if code == "extra_forbidden":
        code, message = "unknown_field", f"there is no such field here; there are: {', '.join(known)}"
    return InitErrorDetails(type=fault(code, message), loc=error["loc"], input=None)


def described(value: Any) -> str:
    """A value's kind in words, for messages."""
    if isinstance(value, bool):
        return "true or false"
    if value is None:
        return "null"
    names = {str: "text", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), "something else")


def _number(value: Any) -> Decimal:
    if isinstance(value, str):
        raise fault("number_as_text", "must be a number, and is text: leave out the quotes")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise fault("wrong_type", f"must be a number, not {described(value)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise fault("not_a_number", "must be a finite number")
    if abs(value) > LARGEST_NUMBER:
        raise fault("out_of_range", "numbers go up to 10^15")
    return Decimal(str(value))


def _text(value: Any, longest: int = LONGEST_TEXT) -> str:
    if not isinstance(value, str):
        raise fault("wrong_type", f"must be text, not {described(value)}")
    if len(value) > longest:
        raise fault("too_long", f"must be at most {longest} characters")
    return value


def _name(value: Any) -> str:
    if not _text(value, LONGEST_NAME):
        raise fault("empty", "must not be empty")
    return str(value)


def _scalar(value: Any) -> CoreScalar:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return _number(value)
    raise fault("wrong_type", f"must be text, a number, true or false, not {described(value)}")


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise fault("wrong_type", f"must be a list, not {described(value)}")
    if not value:
        raise fault("empty_list", "must not be empty: nothing can be in an empty list")
    if len(value) > LONGEST_LIST:
        raise fault("too_long", f"lists have at most {LONGEST_LIST} entries")
    return value


def _each(value: Any, read: Any) -> tuple[Any, ...]:
    found, faults = [], []
    for index, entry in enumerate(_list(value)):
        try:
            found.append(read(entry))
        except PydanticCustomError as error:
            faults.append(InitErrorDetails(type=error, loc=(index,), input=None))
    if faults:
        raise ValidationError.from_exception_data("list", faults)
    return tuple(found)


def _duration(value: Any) -> Duration:
    if not isinstance(value, str):
        raise fault("bad_duration", f'must be a duration such as "14d", not {described(value)}')
    duration = read_duration(value)
    if duration is None:
        raise fault(
            "bad_duration", 'must be a whole number above 0 with m, h, d or w, such as "30m", "24h", "14d", "8w"'
        )
    if duration.length > LONGEST:
        raise fault("bad_duration", f"must be at most {LONGEST.days} days")
    return duration


def _days(value: Any) -> Duration:
    duration = _duration(value)
    if duration.length % timedelta(days=1):
        raise fault("bad_duration", 'must be whole days, such as "7d"')
    return duration


def _moment(value: Any, info: Info) -> Moment:
    if not isinstance(value, str):
        raise fault("bad_date", f'must be a date such as "2024-05-31", not {described(value)}')
    moment = read_moment(value, _zone(info))
    if moment is None:
        raise fault("bad_date", 'must be a date or an instant, such as "2024-05-31" or "2024-05-31T09:00:00Z"')
    return moment


def _ordered(value: Any, info: Info) -> Decimal | Moment:
    if not isinstance(value, str):
        return _number(value)
    moment = read_moment(value, _zone(info))
    if moment is None:
        raise fault("number_as_text", "must be a number without quotes, or a date: other text has no order")
    return moment


def _ordered_pair(value: Any, info: Info) -> Any:
    return _pair(value, lambda entry: _ordered(entry, info))


def _number_pair(value: Any) -> Any:
    return _pair(value, _number)


def _pair(value: Any, read: Any) -> Any:
    ends = _each(value, read)
    if len(ends) != 2:
        raise fault("bad_range", "must be a list of two: the lowest and the highest")
    if type(ends[0]) is not type(ends[1]):
        raise fault("bad_range", "both ends must be numbers, or both dates")
    low, high = (end.at if isinstance(end, Moment) else end for end in ends)
    if low > high:
        raise fault("bad_range", "the first must not be above the second")
    return ends


def context_of(info: Info) -> Context:
    """The context that a rule is read in."""
    context = info.context
    return context if isinstance(context, Context) else Context()


def _zone(info: Info) -> Any:
    return context_of(info).zone


Number = Annotated[Decimal, PlainValidator(_number)]
Numbers = Annotated[tuple[Decimal, ...], PlainValidator(lambda value: _each(value, _number))]
NumberPair = Annotated[tuple[Decimal, Decimal], PlainValidator(_number_pair)]
Text = Annotated[str, PlainValidator(_text)]
Name = Annotated[str, PlainValidator(_name)]
Scalar = Annotated[CoreScalar, PlainValidator(_scalar)]
Scalars = Annotated[tuple[CoreScalar, ...], PlainValidator(lambda value: _each(value, _scalar))]
Ordered = Annotated[Decimal | Moment, PlainValidator(_ordered)]
OrderedPair = Annotated[tuple[Decimal, Decimal] | tuple[Moment, Moment], PlainValidator(_ordered_pair)]
Span = Annotated[Duration, PlainValidator(_duration)]
Days = Annotated[Duration, PlainValidator(_days)]
Date = Annotated[Moment, PlainValidator(_moment)]
