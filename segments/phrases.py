"""Phrases that several conditions have: values, and lengths of time."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from segments.language import Language, Message, Plural
from segments.moments import Duration, Moment

AND = Message("{most} and {last}")

_QUOTED = Message("“{text}”")
_TRUE, _FALSE = Message("true"), Message("false")

Length = Mapping[str, Plural]
"""What is said of a length of time, by its unit."""

IN_THE_LAST: Length = {
    "m": Plural("in the last {number} minute", "in the last {number} minutes"),
    "h": Plural("in the last {number} hour", "in the last {number} hours"),
    "d": Plural("in the last {number} day", "in the last {number} days"),
    "w": Plural("in the last {number} week", "in the last {number} weeks"),
}
WITHIN_THE_LAST: Length = {
    "m": Plural("within the last {number} minute", "within the last {number} minutes"),
    "h": Plural("within the last {number} hour", "within the last {number} hours"),
    "d": Plural("within the last {number} day", "within the last {number} days"),
    "w": Plural("within the last {number} week", "within the last {number} weeks"),
}
WITHIN_THE_NEXT: Length = {
    "m": Plural("within the next {number} minute", "within the next {number} minutes"),
    "h": Plural("within the next {number} hour", "within the next {number} hours"),
    "d": Plural("within the next {number} day", "within the next {number} days"),
    "w": Plural("within the next {number} week", "within the next {number} weeks"),
}
WITHIN: Length = {
    "m": Plural("within {number} minute", "within {number} minutes"),
    "h": Plural("within {number} hour", "within {number} hours"),
    "d": Plural("within {number} day", "within {number} days"),
    "w": Plural("within {number} week", "within {number} weeks"),
}
AGO: Length = {
    "m": Plural("at least {number} minute ago", "at least {number} minutes ago"),
    "h": Plural("at least {number} hour ago", "at least {number} hours ago"),
    "d": Plural("at least {number} day ago", "at least {number} days ago"),
    "w": Plural("at least {number} week ago", "at least {number} weeks ago"),
}
FOR: Length = {
    "m": Plural("for at least {number} minute", "for at least {number} minutes"),
    "h": Plural("for at least {number} hour", "for at least {number} hours"),
    "d": Plural("for at least {number} day", "for at least {number} days"),
    "w": Plural("for at least {number} week", "for at least {number} weeks"),
}


def length(language: Language, said: Length, duration: Duration) -> str:
    """`in the last 14 days`."""
    return language.count(said[duration.unit], duration.number)


def value(language: Language, operand: Any) -> str:
    """An operand other than a length of time; the entries of a list are joined by “or”."""
    if isinstance(operand, tuple):
        return language.either([value(language, entry) for entry in operand])
    if isinstance(operand, bool):
        return language.say(_TRUE if operand else _FALSE)
    if isinstance(operand, Decimal):
        return language.number(operand)
    if isinstance(operand, Moment):
        return language.moment(operand)
    return language.say(_QUOTED, text=str(operand))
