"""How many a rule would have found at instants of the past."""

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from push_server.audiences.rules import SiteRules, evaluation
from push_server.db import SiteSession
from push_server.errors import Invalid
from push_server.settings import settings

MOST = 100
_LONGEST = 6  # times the time that one evaluation may take


def backtest(session: SiteSession, rule: Any, instants: Sequence[datetime]) -> list[int]:
    """The rule's size at each instant, by the facts up to it; 422 with every fault of the rule.

    Attributes, catalogue and segments that the rule names have no history here: they count as they are now.
    """
    rules = SiteRules(session)
    read = rules.parse(rule)
    limit = settings().rule_timeout
    ends = time.monotonic() + _LONGEST * limit
    sizes: list[int] = []
    for at in instants:
        left = ends - time.monotonic()
        if left <= 0:
            raise _too_slow(len(sizes), len(instants))
        found = rules.members(read, at).subquery()
        with evaluation(session, min(limit, left)):
            sizes.append(int(session.sql(select(func.count()).select_from(found)).scalar_one()))
    return sizes


def _too_slow(done: int, many: int) -> Invalid:
    return Invalid(
        f"After {_LONGEST * settings().rule_timeout:g} s only {done} of {many} instants were evaluated."
        " Take fewer of them, or narrow the rule's windows.",
        code="rule_too_slow",
    )
