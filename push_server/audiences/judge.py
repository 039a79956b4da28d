"""Which of some customers are in which segments at an instant."""

from collections.abc import Iterable
from datetime import datetime

import numpy as np
import numpy.typing as npt
from sqlalchemy import Integer, select
from sqlmodel import col
from sqlmodel import select as select_rows

from push_server.audiences.models import Segment
from push_server.audiences.program import Program
from push_server.audiences.rules import SiteRules, evaluation
from push_server.db import SiteSession
from segments.sql_values import among


def judge(
    session: SiteSession, program: Program, customers: npt.NDArray[np.int64], segments: Iterable[int], at: datetime
) -> dict[int, npt.NDArray[np.bool_]]:
    """For each of the segments, whether each of the customers (ascending) is in it."""
    wanted = select_rows(Segment).where(col(Segment.id).in_(list(segments)))
    found, rules = {}, SiteRules(session)
    for segment in session.exec(wanted):
        assert segment.id is not None
        everyone = rules.members(rules.parse(segment.rule), at).subquery()
        ids = select(everyone.c.customer_id).where(among(everyone.c.customer_id, customers.tolist(), Integer))
        with evaluation(session):
            members = session.sql(ids).scalars().all()
        found[segment.id] = np.isin(customers, np.array(members, np.int64))
    return found
