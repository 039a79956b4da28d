"""Segments whose members are found in the background: who waits for it, how far each is, and what went wrong."""

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from sqlalchemy import text
from sqlmodel import col, select

from push_server.audiences.models import Backfill, Segment, SegmentState
from push_server.db import SiteSession
from push_server.errors import Conflict

LAST_ID: Final = 2**31 - 1
"""The highest id that a customer can have."""
FIRST_WIDTH: Final = 2**31 // 64
"""Ids that are asked about first; what follows is as wide as that was quick."""
_ASK_AGAIN = 2  # seconds


def begin(session: SiteSession, segment: Segment) -> None:
    """Have the segment's members found in the background, from the beginning. The site's membership lock is held."""
    end(session, segment)
    assert segment.id is not None
    segment.is_due = False
    session.add_all([segment, Backfill(segment_id=segment.id, width=FIRST_WIDTH)])
    session.flush()


def begin_all(session: SiteSession, segments: Collection[int]) -> None:
    """Have the members of these segments found in the background, where they are not already."""
    session.sql(_BEGIN, {"site": session.site_id, "segments": list(segments), "width": FIRST_WIDTH})


def end(session: SiteSession, segment: Segment) -> None:
    """Nothing is to be found of the segment any more. Whoever is at it notices when he writes what he found."""
    session.sql(text("delete from segment_backfill where segment_id = :id"), {"id": segment.id})


def remember_judged(session: SiteSession, segments: Collection[int], customers: Collection[int]) -> None:
    """These customers have been judged in these segments: what the background has found of them so far is old."""
    if segments and customers and session.sql(_IS_AT_WORK, {"site": session.site_id}).scalar_one():
        place = {"site": session.site_id, "segments": list(segments), "customers": list(customers)}
        session.sql(_REMEMBER, place)


def backfills(session: SiteSession, segments: Iterable[Segment]) -> dict[int, Backfill]:
    """The background's rows of those segments that have one, by segment."""
    ids = [segment.id for segment in segments]
    found = session.exec(
        select(Backfill).where(col(Backfill.segment_id).in_(ids)).execution_options(populate_existing=True)
    )
    return {row.segment_id: row for row in found}


def progress(segment: Segment, backfill: Backfill | None) -> float:
    """The share of the customers of whom it is known whether they are members, from 0 to 1, to three decimals."""
    if segment.state == SegmentState.READY:
        return 1.0
    return backfill.reached * 1000 // LAST_ID / 1000 if backfill is not None else 0.0


def check_ready(session: SiteSession, segments: Sequence[Segment]) -> None:
    """409 when the members of one of the segments are not known: `segment_pending` or `segment_failed`."""
    unready = [segment for segment in segments if segment.state != SegmentState.READY]
    rows = backfills(session, unready)
    for segment in sorted(unready, key=lambda each: each.state):  # failed ones first
        row = rows.get(segment.id or 0)
        if segment.state == SegmentState.FAILED:
            why = row.problem["detail"] if row is not None and row.problem else ""
            raise Conflict(
                f"The members of the segment “{segment.name}” could not be found. {why}".rstrip(),
                code="segment_failed",
            )
        share = int(100 * progress(segment, row))
        raise Conflict(
            f"The members of the segment “{segment.name}” are still being found, {share}% of the customers so far."
            " Ask again when its `state` is `ready`.",
            code="segment_pending",
            retry_after=_ASK_AGAIN,
        )


_BEGIN = text(
    "insert into segment_backfill (site_id, segment_id, width) select site_id, id, :width from segment"
    " where site_id = :site and id = any(:segments) on conflict (segment_id) do nothing"
)
_IS_AT_WORK = text("select exists (select 1 from segment_backfill where site_id = :site and retry_at is null)")
_REMEMBER = text(
    "insert into backfill_change (backfill_id, customers) select id, cast(:customers as int[]) from segment_backfill"
    " where site_id = :site and segment_id = any(:segments) and retry_at is null"
)
