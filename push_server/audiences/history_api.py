"""`/v1/segments/{id}/changes` and `/growth`: who came and who went, and how a segment grew."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

from fastapi import Query, Request
from pydantic import BaseModel

from push_server import clock, http
from push_server.audiences import history, service
from push_server.audiences.api import Reader
from push_server.audiences.instants import instant, steps, stretch, zone_of
from push_server.fields import Cursor, Limit
from push_server.http import Page, bad_cursor, decode_cursor, encode_cursor, session_of

router = http.router("segments")

_EPOCH, _END = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

From = Annotated[
    str | None,
    Query(alias="from", description="RFC 3339; a date is its midnight in the site's zone; else 30 days before `to`"),
]
MaybeFrom = Annotated[str | None, Query(alias="from", description="an instant or date, included; else the beginning")]
Until = Annotated[str | None, Query(alias="to", description="an instant or date, not included; else now")]
Step = Annotated[str, Query(description="`m`, `h`, or `d` and `w` by the site's calendar", max_length=20)]


class ChangeKind(StrEnum):
    """Which way a customer went."""

    ENTERED = "entered"
    LEFT = "left"


class ChangeOut(BaseModel):
    """A customer came or went."""

    at: str
    change: ChangeKind
    external_id: str | None
    anonymous_id: str | None


class ChangePage(Page):
    """A page of changes, the newest last."""

    data: list[ChangeOut]


class StepOut(BaseModel):
    """From `start` until before `end`: how many came and went; `size` is how many were in at the end."""

    start: str
    end: str
    size: int
    entered: int
    left: int


class GrowthOut(BaseModel):
    """The steps, oldest first. The members are those of the present rule since `rule_since`."""

    rule_since: str | None
    steps: list[StepOut]


@router.get("/v1/segments/{segment_id}/changes")
def get_changes(
    segment_id: str,
    request: Request,
    _principal: Reader,
    start: MaybeFrom = None,
    end: Until = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> ChangePage:
    """Entries and exits, the newest last; customers who were erased are not among them."""
    session = session_of(request)
    zone = zone_of(session)
    after = _position(cursor)
    segment = service.fresh_segment(session, segment_id)
    first = _EPOCH if start is None else instant(start, "query:from", zone)
    last = _END if end is None else instant(end, "query:to", zone)
    found = history.changes(session, segment, first, last, after, limit + 1)
    more = _cursor(found[limit - 1]) if len(found) > limit else None
    return ChangePage(data=[_change(each) for each in found[:limit]], next_cursor=more)


@router.get("/v1/segments/{segment_id}/growth")
def get_growth(
    segment_id: str, request: Request, _principal: Reader, start: From = None, end: Until = None, step: Step = "1d"
) -> GrowthOut:
    """Size, entries and exits step by step, at most 400; the last step is cut off at `to`."""
    session = session_of(request)
    zone = zone_of(session)
    first, last = stretch(start, end, "query:", zone)
    bounds = steps(first, last, step, "query:step", zone, history.MOST_STEPS)
    segment = service.fresh_segment(session, segment_id)
    if bounds[-1] < last:
        bounds.append(last)
    since = segment.rule_since
    return GrowthOut(
        rule_since=clock.rfc3339(since) if since is not None else None,
        steps=[_step(each) for each in history.growth(session, segment, bounds)],
    )


def _change(change: history.Change) -> ChangeOut:
    return ChangeOut(
        at=clock.rfc3339(change.at),
        change=ChangeKind.ENTERED if change.entered else ChangeKind.LEFT,
        external_id=change.external_id,
        anonymous_id=change.anonymous_id,
    )


def _step(step: history.Step) -> StepOut:
    start, end = clock.rfc3339(step.start), clock.rfc3339(step.end)
    return StepOut(start=start, end=end, size=step.size, entered=step.entered, left=step.left)


def _cursor(change: history.Change) -> str:
    return encode_cursor([(change.at - _EPOCH) // _MICROSECOND, change.id])


def _position(cursor: str | None) -> tuple[datetime, int]:
    position: list[Any] = decode_cursor(cursor, 2) or [0, 0]
    at, id = position
    if type(at) is not int or type(id) is not int or not 0 <= at < (_END - _EPOCH) // _MICROSECOND:
        raise bad_cursor()
    if not 0 <= id < 2**63:
        raise bad_cursor()
    return _EPOCH + at * _MICROSECOND, id
