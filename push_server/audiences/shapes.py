"""What the API says of a segment."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from push_server import clock
from push_server.audiences.borders import Told
from push_server.audiences.models import Backfill, Segment, SegmentState
from push_server.audiences.waiting import progress
from push_server.http import Page


class BorderOut(BaseModel):
    """Of the border between members and others that `rank` and `rfm` draw through everyone.

    The members are told by the border as of `as_of`. While facts come in that may move it, it is found again and again,
    and never behind by more than `at_most_late_s` seconds: 2, or six times as long as finding all borders of the site
    takes, whichever is longer. A rule with several has the oldest.
    """

    as_of: str
    at_most_late_s: float


class ProblemOut(BaseModel):
    """Why members could not be found, and what to do; `retry_at` is null while it is being tried again."""

    code: str = Field(description="`rule_too_slow`, `evaluation_failed`, or a code of the API's errors")
    detail: str
    since: str
    retry_at: str | None


class SegmentOut(BaseModel):
    """A segment as of `fresh_at`; `reachable` members have an active subscription.

    A fact shows at most 2 s after it was accepted, and time at most 2 s after it has made a change. Rules with `rank`
    or `rfm` depend on everyone: each customer is so soon where his own facts put him, on this or that side of a border,
    and `border` says how late the border itself can be. Where the rule asks for `order_gap`, messages within a length
    of time, or `within_last` or `within_next` in `where` or of a subscription, the instants at which customers turn
    are stored first: for some seconds after the segment was made, in a large shop a minute, time can show later, by six
    times as long as finding all members takes.

    While `state` is `pending`, the members of a new or edited segment are being found, and `progress` says for which
    share of the customers that is done; when it is `failed`, they could not be found, and `problem` says why. In both,
    `size`, `reachable` and `fresh_at` are null. A `problem` of a `ready` segment says why its members are still those
    of `fresh_at`.
    """

    id: str
    name: str
    rule: dict[str, Any]
    sentence: str
    size: int | None
    reachable: int | None
    fresh_at: str | None
    state: SegmentState
    progress: float = Field(ge=0, le=1)
    problem: ProblemOut | None
    border: BorderOut | None

    @classmethod
    def of(
        cls,
        segment: Segment,
        fresh_at: datetime | None,
        *,
        sentence: str,
        border: Told | None,
        backfill: Backfill | None,
    ) -> "SegmentOut":
        """`fresh_at`: the instant that the site's segments are those of; `border`, `backfill`: if it has them."""
        is_ready = segment.state == SegmentState.READY
        problem = _problem(backfill)
        known = (segment.fresh_at, fresh_at if problem is None else None) if is_ready else ()
        as_of = max(filter(None, known), default=None)
        return cls(
            id=str(segment.public_id),
            name=segment.name,
            rule=segment.rule,
            sentence=sentence,
            size=segment.size if is_ready else None,
            reachable=segment.reachable if is_ready else None,
            fresh_at=clock.rfc3339(as_of) if as_of is not None else None,
            state=segment.state,
            progress=progress(segment, backfill),
            problem=problem,
            border=_border(border) if border is not None else None,
        )


class SegmentPage(Page):
    """A page of segments."""

    data: list[SegmentOut]


def _border(told: Told) -> BorderOut:
    return BorderOut(as_of=clock.rfc3339(told.as_of), at_most_late_s=round(told.at_most_late.total_seconds(), 1))


def _problem(backfill: Backfill | None) -> ProblemOut | None:
    if backfill is None or backfill.problem is None:
        return None
    again = clock.rfc3339(backfill.retry_at) if backfill.retry_at is not None else None
    return ProblemOut(**backfill.problem, retry_at=again)
