"""`{"sample": {"percent": 10, "salt": "x"}}`: a stable pseudo-random share.

A customer's place is a hash of the salt and his outside identity: the shop's own id where it is known, else the
browser's. So it never moves once he is known; another salt draws another share.
"""

from collections.abc import Iterator
from typing import ClassVar

from segments import core
from segments.conditions.base import Condition
from segments.context import Context
from segments.fields import Number, Problem, Strict, Text
from segments.language import Message

_SHARE = Message("in a stable {percent}% sample")
_SALTED = Message("in a stable {percent}% sample (“{salt}”)")


class Share(Strict):
    percent: Number
    salt: Text = ""

    def contradictions(self) -> Iterator[Problem]:
        if not 0 <= self.percent <= 100:
            yield Problem("out_of_range", "must be from 0 to 100", ("percent",))


class Sample(Condition):
    kind: ClassVar[str] = "sample"
    examples = ({"sample": {"percent": 10, "salt": "spring"}},)

    sample: Share

    def lower(self) -> core.Node:
        return core.Sample(self.sample.percent, self.sample.salt)

    def clause(self, context: Context) -> str:
        language, salt = context.language, self.sample.salt
        percent = language.number(self.sample.percent)
        return language.say(_SALTED, percent=percent, salt=salt) if salt else language.say(_SHARE, percent=percent)
