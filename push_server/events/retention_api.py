"""`GET /v1/site/retention`: how far the deletion of old events has come."""

from typing import Annotated

from fastapi import Depends, Request
from pydantic import BaseModel, Field
from sqlalchemy import text

from push_server import clock, http
from push_server.http import session_of
from push_server.sites.access import Principal, require
from push_server.sites.models import Scope
from push_server.sites.retention import retention_of

router = http.router("site")

# Of names that nothing was deleted of there is no row in event_horizon.
_HORIZONS = text(
    """
    select t.text as name, h.before, nullif(h.through, '-infinity') as through,
           coalesce((select sum(many) from event_rollup r where r.kind_id = h.kind_id and property = ''), 0) as deleted
    from event_horizon h join term t on t.id = h.kind_id where h.site_id = :site order by t.text
    """
)


class Deletion(BaseModel):
    """Events of a name of which old ones are deleted or are going to be."""

    event: str
    kept: str | None = Field(description="as the site has set it; null: for ever from now on")
    deleted_before: str = Field(description="from before then no rule asks for the events themselves")
    done_before: str | None = Field(description="from before then they are gone; null: none is yet")
    deleted: int = Field(description="how many were deleted and are still counted by rules over all time")


class Deletions(BaseModel):
    """By the event's name."""

    data: list[Deletion]


@router.get("/v1/site/retention")
def get_deletions(request: Request, principal: Annotated[Principal, Depends(require(Scope.SITE_READ))]) -> Deletions:
    """How far the deletion of old events has come; what is kept how long is set by `PATCH /v1/site`."""
    session, retention = session_of(request), retention_of(principal.site)
    return Deletions(
        data=[
            Deletion(
                event=row.name,
                kept=retention.written_of(row.name),
                deleted_before=clock.rfc3339(row.before),
                done_before=row.through and clock.rfc3339(row.through),
                deleted=int(row.deleted),
            )
            for row in session.sql(_HORIZONS, {"site": session.site_id})
        ]
    )
