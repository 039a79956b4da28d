"""`POST /v1/segments/{id}/export`: the members as a file."""

from fastapi import Request
from fastapi.responses import StreamingResponse

from push_server import http
from push_server.audiences import service
from push_server.audiences.api import Reader
from push_server.audiences.export import members_csv
from push_server.audiences.waiting import check_ready
from push_server.db import database
from push_server.http import session_of

router = http.router("segments")


@router.post(
    "/v1/segments/{segment_id}/export",
    response_class=StreamingResponse,
    responses={200: {"description": "the members", "content": {"text/csv": {"schema": {"type": "string"}}}}},
)
def post_export(segment_id: str, request: Request, _principal: Reader) -> StreamingResponse:
    """The members now as CSV: `external_id,anonymous_id,since`.

    A cell that a spreadsheet would take for a formula has an apostrophe in front. 409 while the segment is not ready.
    """
    session = session_of(request)
    segment = service.fresh_segment(session, segment_id)
    check_ready(session, [segment])  # before the answer begins
    assert segment.id is not None
    name = f'attachment; filename="segment-{segment.public_id}.csv"'
    lines = members_csv(database(), session.site_id, segment.id)
    return StreamingResponse(lines, media_type="text/csv", headers={"Content-Disposition": name})
