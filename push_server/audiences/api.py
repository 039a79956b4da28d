"""`/v1/segments`: stored rules, their members, and estimates; `/v1/customers/{external_id}/segments`."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Depends, Header, Path, Query, Request, Response
from pydantic import AfterValidator, BaseModel, Field, JsonValue

from push_server import clock, http
from push_server.audiences import service
from push_server.audiences.borders import tell
from push_server.audiences.editor import newest_only
from push_server.audiences.estimate import estimate
from push_server.audiences.history import Basis, PastMember, basis_at, members_at
from push_server.audiences.instants import When, instant, past, zone_of
from push_server.audiences.language import Spoken
from push_server.audiences.models import Segment
from push_server.audiences.rules import SiteRules
from push_server.audiences.shapes import SegmentOut, SegmentPage
from push_server.audiences.waiting import backfills
from push_server.customers.service import find_customer
from push_server.db import SiteSession
from push_server.errors import Invalid
from push_server.fields import Body, Cursor, Limit, Name, storable
from push_server.http import Page, cursor_id, encode_cursor, session_of
from push_server.sites.access import Principal, require
from push_server.sites.models import Scope
from segments.language import Language

router = http.router("segments")

Reader = Annotated[Principal, Depends(require(Scope.SEGMENTS_READ))]
Writer = Annotated[Principal, Depends(require(Scope.SEGMENTS_WRITE))]
Rule = Annotated[
    JsonValue,
    Field(
        description='`{"version": 1, "where": NODE}`, in the rule language',
        json_schema_extra={"type": "object"},
        examples=[{"version": 1, "where": {"event": "Order Completed", "count": {"gte": 2}, "within": "90d"}}],
    ),
]

Editor = Annotated[
    str | None,
    Header(
        alias="Homing-Editor",
        min_length=1,
        max_length=64,
        description="names whoever edits; a newer request of the same editor cancels this one, which answers 409"
        " `superseded`",
    ),
]
NOT_GIVEN: Any = None  # a null that is written out is a fault


class SegmentIn(Body):
    """A rule with a name."""

    name: Name
    rule: Rule


class SegmentChange(Body):
    """What is to change; the rest stays."""

    name: Name = NOT_GIVEN
    rule: Rule = NOT_GIVEN


class MemberOut(BaseModel):
    """A customer in a segment, and since when; null where nobody told at the time."""

    external_id: str | None
    anonymous_id: str | None
    since: str | None


class MemberPage(Page):
    """A page of members.

    `recorded`: who was in, as it was told at the time. `evaluated`: the present rule was not in force then, and was
    asked now, of the facts until then.
    """

    data: list[MemberOut]
    basis: Basis


class MembershipOut(BaseModel):
    """A segment that a customer is in."""

    id: str
    name: str
    since: str


class MembershipList(Page):
    """The segments of a customer; there is one page."""

    data: list[MembershipOut]


class EstimateIn(Body):
    """A rule, and the instant to count at (now)."""

    rule: Rule
    at: When = NOT_GIVEN


class EstimateOut(BaseModel):
    """How many customers the rule finds; `missing` counts those without a value, attribute by attribute."""

    sentence: str
    size: int
    reachable: int
    exact: bool
    margin: int
    missing: dict[str, int]
    took_ms: int


@router.post("/v1/segments", status_code=201)
def post_segment(body: SegmentIn, request: Request, _principal: Writer, language: Spoken) -> SegmentOut:
    """Store a segment; the answer has its size already, unless that takes over a second: then it is `pending`."""
    session = session_of(request)
    return _out(session, service.create_segment(session, body.name, body.rule), language)


@router.get("/v1/segments")
def get_segments(
    request: Request, _principal: Reader, language: Spoken, limit: Limit = 50, cursor: Cursor = None
) -> SegmentPage:
    """Segments in the order they were made."""
    session = session_of(request)
    found = service.segments_page(session, cursor_id(cursor), limit + 1)
    more = encode_cursor([found[limit - 1].id]) if len(found) > limit else None
    return SegmentPage(data=_all_out(session, found[:limit], language), next_cursor=more)


@router.post("/v1/segments/estimate")
def post_estimate(
    body: EstimateIn, request: Request, principal: Reader, language: Spoken, editor: Editor = None
) -> EstimateOut:
    """Count who a rule would find, without storing anything."""
    session = session_of(request)
    at = instant(body.at, "$.at", zone_of(session)) if "at" in body.model_fields_set else clock.now()
    with newest_only(session, principal.key_id, editor):
        found = estimate(session, body.rule, at)
    rules = SiteRules(session, language=language)
    return EstimateOut(
        sentence=rules.sentence(rules.parse(body.rule)),
        size=found.size,
        reachable=found.reachable,
        exact=True,
        margin=0,
        missing=found.missing,
        took_ms=found.took_ms,
    )


@router.get("/v1/segments/{segment_id}")
def get_segment(segment_id: str, request: Request, _principal: Reader, language: Spoken) -> SegmentOut:
    """One segment."""
    session = session_of(request)
    return _out(session, service.fresh_segment(session, segment_id), language)


@router.patch("/v1/segments/{segment_id}")
def patch_segment(
    segment_id: str, body: SegmentChange, request: Request, _principal: Writer, language: Spoken
) -> SegmentOut:
    """Change name or rule; segments that are made of this one follow, and may be `pending` so long."""
    changes = body.model_dump(exclude_unset=True)
    session = session_of(request)
    return _out(session, service.change_segment(session, segment_id, changes), language)


@router.post("/v1/segments/{segment_id}/retry")
def post_retry(segment_id: str, request: Request, _principal: Writer, language: Spoken) -> SegmentOut:
    """Look at once for members that could not be found; else that is tried again by itself, at `problem.retry_at`."""
    session = session_of(request)
    return _out(session, service.retry_segment(session, segment_id), language)


@router.delete("/v1/segments/{segment_id}", status_code=204)
def delete_segment(segment_id: str, request: Request, _principal: Writer) -> Response:
    """Delete a segment that no other one is made of."""
    service.delete_segment(session_of(request), segment_id)
    return Response(status_code=204)


@router.get("/v1/segments/{segment_id}/members")
def get_members(
    segment_id: str,
    request: Request,
    _principal: Reader,
    limit: Limit = 100,
    cursor: Cursor = None,
    as_of: Annotated[
        str | None, Query(description="RFC 3339, not later than now; a date is its midnight in the site's zone")
    ] = None,
) -> MemberPage:
    """The members now, or as of a past instant, in an order of their own that holds from page to page.

    409 `segment_pending` while they are being found, `segment_failed` when they could not be.
    """
    session = session_of(request)
    at = past(as_of, "query:as_of", zone_of(session)) if as_of is not None else None
    segment, after = service.fresh_segment(session, segment_id), cursor_id(cursor)
    if at is None:
        basis: Basis = Basis.RECORDED
        rows: Sequence[service.MemberRow | PastMember] = service.member_rows(session, segment, after, limit + 1)
    else:
        basis = basis_at(segment, at)
        rows = members_at(session, segment, at, after, limit + 1)
    more = encode_cursor([rows[limit - 1].customer_id]) if len(rows) > limit else None
    return MemberPage(data=[_member(row) for row in rows[:limit]], next_cursor=more, basis=basis)


@router.get("/v1/customers/{external_id:path}/segments")
def get_segments_of_customer(
    external_id: Annotated[str, Path(min_length=1, max_length=255), AfterValidator(storable)],
    request: Request,
    _principal: Reader,
) -> MembershipList:
    """The segments that a customer is in now; of those that are `pending` or `failed` nobody can tell."""
    session = session_of(request)
    customer = find_customer(session, external_id)
    assert customer.id is not None
    found = service.segments_of_customer(session, customer.id)
    data = [MembershipOut(id=str(each.public_id), name=each.name, since=clock.rfc3339(since)) for each, since in found]
    return MembershipList(data=data, next_cursor=None)


def _member(row: service.MemberRow | PastMember) -> MemberOut:
    since = clock.rfc3339(row.since) if row.since is not None else None
    return MemberOut(external_id=row.external_id, anonymous_id=row.anonymous_id, since=since)


def _out(session: SiteSession, segment: Segment, language: Language) -> SegmentOut:
    return _all_out(session, [segment], language)[0]


def _all_out(session: SiteSession, segments: Sequence[Segment], language: Language) -> list[SegmentOut]:
    rules, fresh_at = SiteRules(session, language=language), service.fresh_at(session)
    told, rows = tell(session, segments, fresh_at), backfills(session, segments)
    return [
        SegmentOut.of(
            segment,
            fresh_at,
            sentence=_sentence(rules, segment),
            border=told.get(segment.id or 0),
            backfill=rows.get(segment.id or 0),
        )
        for segment in segments
    ]


def _sentence(rules: SiteRules, segment: Segment) -> str:
    """Empty where the stored rule cannot be read, as one of an earlier version: the others are still told."""
    try:
        return rules.sentence(rules.parse(segment.rule))
    except Invalid:
        return ""
