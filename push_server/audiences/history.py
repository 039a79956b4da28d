"""A segment's members at a past instant, who came and went, and how it grew, from the changes that were told.

What a segment was is known since it was made. Of instants before its present rule was in force, the rule is asked
instead: who would have been in by the facts until then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

from sqlalchemy import bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import col

from push_server.audiences.models import Segment
from push_server.audiences.rules import SiteRules, evaluation
from push_server.customers.models import Customer
from push_server.db import Instant, SiteSession

MOST_STEPS = 400


class Basis(StrEnum):
    """Where members at an instant are known from: what was told at the time, or the rule asked of the facts now."""

    RECORDED = "recorded"
    EVALUATED = "evaluated"


class PastMember(NamedTuple):
    """A member at an instant; since when he was one, where that was told."""

    customer_id: int
    external_id: str | None
    anonymous_id: str | None
    since: datetime | None


class Change(NamedTuple):
    """A customer came or went."""

    id: int
    at: datetime
    external_id: str | None
    anonymous_id: str | None
    entered: bool


@dataclass(frozen=True, slots=True)
class Step:
    """From `start` until before `end`: how many came and went, and how many were in at the end."""

    start: datetime
    end: datetime
    size: int
    entered: int
    left: int


def basis_at(segment: Segment, at: datetime) -> Basis:
    """What is known of the members of the segment's present rule at `at`."""
    return Basis.RECORDED if segment.rule_since is not None and at >= segment.rule_since else Basis.EVALUATED


def members_at(session: SiteSession, segment: Segment, at: datetime, after: int, limit: int) -> list[PastMember]:
    """The members at `at` with customer ids beyond `after`, ascending."""
    if basis_at(segment, at) is Basis.EVALUATED:
        return _evaluated(session, segment, at, after, limit)
    parameters = {"segment": segment.id, "at": at, "after": after, "limit": limit, "site": session.site_id}
    return [PastMember(*row) for row in session.sql(_RECORDED, parameters)]


def changes(
    session: SiteSession, segment: Segment, start: datetime, end: datetime, after: tuple[datetime, int], limit: int
) -> list[Change]:
    """Who came and went from `start` until before `end`, oldest first, beyond the position `after`."""
    at, id = after
    place = {"segment": segment.id, "site": session.site_id, "start": start, "end": end}
    return [Change(*row) for row in session.sql(_CHANGES, place | {"at": at, "id": id, "limit": limit})]


def growth(session: SiteSession, segment: Segment, bounds: Sequence[datetime]) -> list[Step]:
    """The steps between these instants, ascending; before the segment was made its size is 0."""
    rows = session.sql(_GROWTH, {"segment": segment.id, "bounds": list(bounds), "end": bounds[-1]})
    moved = {row.step: (row.entered, row.left) for row in rows}
    size = sum(entered - left for step, (entered, left) in moved.items() if step == 0)
    found = []
    for number, (start, end) in enumerate(pairwise(bounds), 1):
        entered, left = moved.get(number, (0, 0))
        size += entered - left
        found.append(Step(start, end, size, entered, left))
    return found


def _evaluated(session: SiteSession, segment: Segment, at: datetime, after: int, limit: int) -> list[PastMember]:
    rules = SiteRules(session)
    found = rules.members(rules.parse(segment.rule), at).subquery()
    page = (
        select(col(Customer.id), col(Customer.external_id), col(Customer.anonymous_id))
        .join(found, found.c.customer_id == col(Customer.id))
        .where(col(Customer.site_id) == session.site_id, col(Customer.id) > after)
        .order_by(col(Customer.id))
        .limit(limit)
    )
    with evaluation(session):
        return [PastMember(id, external_id, anonymous_id, None) for id, external_id, anonymous_id in session.sql(page)]


# The latest change until the instant says whether somebody was in. A merge leaves the changes of both customers to the
# one who stays, so that two entries may follow each other: what counts is where they lead.
_RECORDED = text(
    """
    select c.id, c.external_id, c.anonymous_id, latest.at
    from (
        select distinct on (customer_id) customer_id, at, entered from membership_change
        where segment_id = :segment and customer_id > :after and at <= :at
        order by customer_id, at desc, id desc
    ) as latest
    join customer c on c.id = latest.customer_id and c.site_id = :site
    where latest.entered order by latest.customer_id limit :limit
    """
)
_CHANGES = text(
    """
    select m.id, m.at, c.external_id, c.anonymous_id, m.entered
    from membership_change m join customer c on c.id = m.customer_id and c.site_id = :site
    where m.segment_id = :segment and m.at >= :start and m.at < :end and (m.at, m.id) > (:at, :id)
    order by m.at, m.id limit :limit
    """
)
_GROWTH = text(
    """
    select width_bucket(at, :bounds) as step,
           count(*) filter (where entered and not was) as entered, count(*) filter (where was and not entered) as left
    from (
        select at, entered, lead(entered, 1, false) over (partition by customer_id order by at desc, id desc) as was
        from membership_change where segment_id = :segment and at < :end
    ) as told group by step
    """
).bindparams(bindparam("bounds", type_=ARRAY(Instant)))
