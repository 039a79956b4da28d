"""How many a rule would find, before it is saved."""

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, CTE, ColumnElement, Integer, func, select

import segments
from push_server.audiences.reach import reachable
from push_server.audiences.rules import SiteRules, evaluation
from push_server.db import SiteSession
from segments.core import Attribute, leaves


@dataclass(frozen=True, slots=True)
class Estimate:
    """Exact counts; `missing` says of each attribute in the rule how many customers have no value of it."""

    size: int
    reachable: int
    missing: dict[str, int]
    took_ms: int


def estimate(session: SiteSession, rule: Any, at: datetime) -> Estimate:
    """Count the members of a rule at an instant; 422 with every fault of the rule."""
    began = time.perf_counter()
    rules = SiteRules(session)
    read = rules.parse(rule)
    names = sorted({leaf.name for leaf in leaves(read.lower()) if isinstance(leaf, Attribute)})
    found, missing = _found(rules, read, at, names)
    # one statement, so that all the counts are of one moment
    counts = select(func.cardinality(found.c.ids), reachable(found), *missing)
    with evaluation(session):
        in_it, reached, *without = session.sql(counts).one()
    took_ms = round((time.perf_counter() - began) * 1000)
    return Estimate(in_it, reached, dict(zip(names, without, strict=True)), took_ms)


def _found(
    rules: SiteRules, read: segments.Rule, at: datetime, names: list[str]
) -> tuple[CTE, list[ColumnElement[Any]]]:
    """One row, the members' `ids`; and for each attribute how many have no value of it (a JSON null is none).

    A rule of attributes alone reads each customer once for both.
    """
    binding = rules.binding()
    truth = segments.of_customers(read.lower(), binding, at) if names else None
    customer = binding.customer.c
    counts = [func.count().filter(customer.attributes.op("->>")(name).is_(None)) for name in names]
    looked = select(*(count.label(f"missing_{place}") for place, count in enumerate(counts)))
    if truth is not None:
        looked = looked.add_columns(func.array_agg(customer.id).filter(truth).label("ids"))
    once = looked.where(customer.site_id == binding.site_id).cte("looked")
    members = rules.members(read, at) if truth is None else select(func.unnest(once.c.ids).label("customer_id"))
    each = members.subquery().c.customer_id
    found = select(func.array(select(each).scalar_subquery(), type_=ARRAY(Integer)).label("ids"))
    return found.cte("found"), [select(once.c[f"missing_{place}"]).scalar_subquery() for place in range(len(names))]
