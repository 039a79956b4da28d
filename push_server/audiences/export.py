"""A segment's members as CSV, page by page, so that memory stays flat however many there are."""

import csv
import io
from collections.abc import Iterator
from typing import Final

from push_server import clock
from push_server.audiences.models import Segment
from push_server.audiences.service import member_rows
from push_server.db import Database
from push_server.errors import NotFound

PAGE: Final = 5_000
_COLUMNS: Final = ("external_id", "anonymous_id", "since")
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def members_csv(database: Database, site_id: int, segment_id: int) -> Iterator[str]:
    """The header and the members in the order of their pages; each page is a transaction of its own.

    Raises NotFound when the segment is deleted meanwhile, and Conflict when its members are found anew, so that a file
    that breaks off does not look whole.
    """
    yield _lines([_COLUMNS])
    after, is_last = 0, False
    while not is_last:
        with database.session(site_id=site_id) as session:
            segment = session.get(Segment, segment_id)
            if segment is None:
                raise NotFound("The segment was deleted while it was exported.", code="no_such_segment")
            page = member_rows(session, segment, after, PAGE)
        yield _lines([(row.external_id, row.anonymous_id, clock.rfc3339(row.since)) for row in page])
        is_last = len(page) < PAGE
        after = page[-1].customer_id if page else after


def _lines(rows: list[tuple[str | None, ...]]) -> str:
    written = io.StringIO()
    csv.writer(written).writerows([tuple(map(_cell, row)) for row in rows])
    return written.getvalue()


def _cell(text: str | None) -> str:
    """Spreadsheets run a cell that begins like a formula; with an apostrophe before it, it stays text."""
    text = text or ""
    return "'" + text if text.startswith(_FORMULA) else text
