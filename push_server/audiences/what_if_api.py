"""`/v1/segments`: questions of somebody who plans with segments. Nothing here is stored."""

from typing import Annotated

from fastapi import Request
from pydantic import BaseModel, Field

from push_server import clock, http
from push_server.audiences import backtest, comparison, overlap, service
from push_server.audiences.api import NOT_GIVEN, Editor, Reader, Rule
from push_server.audiences.editor import newest_only
from push_server.audiences.instants import When, instant, steps, stretch, zone_of
from push_server.errors import Fault, Invalid
from push_server.fields import Body, Id
from push_server.http import session_of

router = http.router("segments")

Step = Annotated[
    str,
    Field(description="`m`, `h`, or `d` and `w` by the site's calendar", examples=["1d"], max_length=20),
]


class DiffIn(Body):
    """The rule that the segment might get, and the instant to compare at (now)."""

    rule: Rule
    at: When = NOT_GIVEN


class Shown(BaseModel):
    """A customer, by either id."""

    external_id: str | None
    anonymous_id: str | None


class PartOut(BaseModel):
    """How many customers, how many of them with an active subscription, and up to five of them."""

    size: int
    reachable: int
    sample: list[Shown]


class DiffOut(BaseModel):
    """Who would stay, who would come and who would go, exactly."""

    at: str
    stays: PartOut
    enters: PartOut
    leaves: PartOut


class OverlapIn(Body):
    """Two to ten segments, each once."""

    segments: Annotated[list[Id], Field(min_length=2, max_length=overlap.MOST)]


class OverlapSegment(BaseModel):
    """A segment; `exclusive` counts its members who are in none of the others."""

    id: str
    name: str
    size: int
    exclusive: int


class OverlapPair(BaseModel):
    """Members of both; `jaccard` is their share of the members of either, null when neither has any."""

    segments: Annotated[list[str], Field(min_length=2, max_length=2)]
    both: int
    jaccard: float | None


class OverlapOut(BaseModel):
    """Members in any of the segments, in all of them, and in each two."""

    segments: list[OverlapSegment]
    pairs: list[OverlapPair]
    any: int
    all: int


class BacktestIn(Body):
    """A rule, and the past instants to count at: `from`, and each `step` after it up to `to` (now); at most 100."""

    rule: Rule
    start: Annotated[When, Field(alias="from")]
    end: Annotated[When, Field(alias="to")] = NOT_GIVEN
    step: Step = "1d"


class BacktestPoint(BaseModel):
    """How many the rule would have found at an instant."""

    at: str
    size: int


class BacktestOut(BaseModel):
    """The rule's sizes, oldest first; events, orders, messages and points count up to each instant.

    Attributes, the catalogue and segments that the rule names have no history: they count as they are now.
    """

    points: list[BacktestPoint]


@router.post("/v1/segments/overlap")
def post_overlap(body: OverlapIn, request: Request, _principal: Reader) -> OverlapOut:
    """Count what segments have in common."""
    session = session_of(request)
    ids = service.segment_ids(session, body.segments, "$.segments")
    repeated = [place for place, id in enumerate(ids) if id in ids[:place]]
    if repeated:
        faults = [Fault(f"$.segments[{place}]", "stands in the list twice", "repeated") for place in repeated]
        raise Invalid("Name each segment once.", faults=faults)
    service.materialise(session, ids)
    found = overlap.overlap(session, ids)
    named = [service.find_segment(session, id) for id in body.segments]
    public = [str(segment.public_id) for segment in named]
    listed = [
        OverlapSegment(id=id, name=segment.name, size=size, exclusive=exclusive)
        for id, segment, size, exclusive in zip(public, named, found.sizes, found.exclusive, strict=True)
    ]
    pairs = [
        OverlapPair(
            segments=[public[one], public[other]],
            both=both,
            jaccard=overlap.jaccard(found.sizes[one], found.sizes[other], both),
        )
        for (one, other), both in found.pairs.items()
    ]
    return OverlapOut(segments=listed, pairs=pairs, any=found.any, all=found.all)


@router.post("/v1/segments/backtest")
def post_backtest(body: BacktestIn, request: Request, principal: Reader, editor: Editor = None) -> BacktestOut:
    """Count who a rule would have found at instants of the past."""
    session = session_of(request)
    zone = zone_of(session)
    first, last = stretch(body.start, body.end, "$.", zone)
    instants = steps(first, last, body.step, "$.step", zone, backtest.MOST)
    with newest_only(session, principal.key_id, editor):
        sizes = backtest.backtest(session, body.rule, instants)
    counted = zip(instants, sizes, strict=True)
    return BacktestOut(points=[BacktestPoint(at=clock.rfc3339(at), size=size) for at, size in counted])


@router.post("/v1/segments/{segment_id}/diff")
def post_diff(segment_id: str, body: DiffIn, request: Request, principal: Reader, editor: Editor = None) -> DiffOut:
    """Compare the segment's members with those that another rule would give it, before that is saved."""
    session = session_of(request)
    segment = service.find_segment(session, segment_id)
    at = instant(body.at, "$.at", zone_of(session)) if "at" in body.model_fields_set else clock.now()
    with newest_only(session, principal.key_id, editor):
        found = comparison.compare(session, segment, body.rule, at)
    return DiffOut(
        at=clock.rfc3339(at), stays=_part(found.stays), enters=_part(found.enters), leaves=_part(found.leaves)
    )


def _part(part: comparison.Part) -> PartOut:
    shown = [Shown(external_id=external_id, anonymous_id=anonymous_id) for external_id, anonymous_id in part.sample]
    return PartOut(size=part.size, reachable=part.reachable, sample=shown)
