"""Who would come and who would go if a segment had another rule."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, func, select
from sqlmodel import col

from push_server.audiences.models import Segment
from push_server.audiences.reach import active
from push_server.audiences.rules import SiteRules, evaluation
from push_server.customers.models import Customer
from push_server.db import SiteSession

SAMPLE = 5  # customers to show of each part


@dataclass(frozen=True, slots=True)
class Part:
    """Customers who stay, come or go: how many, and some of them as (external_id, anonymous_id)."""

    size: int
    reachable: int
    sample: list[tuple[str | None, str | None]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The members of the stored rule against those of another one, at one instant."""

    stays: Part
    enters: Part
    leaves: Part


def compare(session: SiteSession, segment: Segment, rule: Any, at: datetime) -> Comparison:
    """Compare a segment with what `rule` would make of it; exact, and nothing is stored.

    422 with every fault of the rule, to name the segment itself among them.
    """
    rules = SiteRules(session, own_id=segment.public_id)
    after = rules.members(rules.parse(rule), at).subquery()
    before = rules.members(rules.parse(segment.rule), at).subquery()
    reached = active().distinct().subquery()
    was, will = before.c.customer_id.is_not(None), after.c.customer_id.is_not(None)
    either = (
        select(
            func.coalesce(before.c.customer_id, after.c.customer_id).label("id"), was.label("was"), will.label("will")
        )
        .select_from(before)
        .join(after, after.c.customer_id == before.c.customer_id, full=True)
        .cte("either")
    )
    is_reached = reached.c.customer_id.is_not(None)
    parts = [and_(either.c.was, either.c.will), and_(~either.c.was, either.c.will), and_(either.c.was, ~either.c.will)]
    counts = [func.count().filter(condition) for part in parts for condition in (part, and_(part, is_reached))]
    samples = [_sample(either, part) for part in parts]
    counted = select(*counts, *samples).select_from(either).outerjoin(reached, reached.c.customer_id == either.c.id)
    with evaluation(session):
        row = session.sql(counted).one()
    names = _names(session, [id for sample in row[6:] for id in sample])
    found = [
        Part(row[2 * number], row[2 * number + 1], [names[id] for id in row[6 + number] if id in names])
        for number in range(3)
    ]
    return Comparison(*found)


def _sample(either: Any, part: ColumnElement[bool]) -> ColumnElement[Any]:
    """The lowest ids: they are drawn at random, and stay the same from look to look."""
    lowest = select(either.c.id).where(part).order_by(either.c.id).limit(SAMPLE)
    return func.array(lowest.scalar_subquery())


def _names(session: SiteSession, ids: list[int]) -> dict[int, tuple[str | None, str | None]]:
    statement = select(col(Customer.id), col(Customer.external_id), col(Customer.anonymous_id))
    rows = session.sql(statement.where(col(Customer.id).in_(ids), col(Customer.site_id) == session.site_id))
    return {id: (external_id, anonymous_id) for id, external_id, anonymous_id in rows}
