"""`/v1/site/vapid-keys`: the VAPID key ring, its rotation and how far that is."""

from typing import Annotated

from fastapi import Depends, Path, Query, Request
from pydantic import BaseModel, Field

from push_server import clock, http, security
from push_server.db import SiteSession
from push_server.http import session_of
from push_server.sites.access import Principal, require
from push_server.sites.models import Scope
from push_server.sites.service import rotate_vapid_key
from push_server.subscriptions.vapid_keys import InUse, retire, ring

router = http.router("site")

Reader = Annotated[Principal, Depends(require(Scope.SITE_READ))]
Writer = Annotated[Principal, Depends(require(Scope.SITE_WRITE))]


class VapidKeyOut(BaseModel):
    """A public key of the ring, base64url; the active one is for new subscriptions."""

    public_key: str
    active: bool
    subscriptions: int = Field(description="active ones that were made with it, and are reached by no other key")
    created_at: str | None
    retired_at: str | None


class VapidKeyList(BaseModel):
    """The ring, newest first."""

    data: list[VapidKeyOut]


class Retired(BaseModel):
    """What retiring a key cost."""

    lost_subscriptions: int


@router.get("/v1/site/vapid-keys")
def get_vapid_keys(request: Request, _principal: Reader) -> VapidKeyList:
    """The VAPID key ring. A rotation is over when no key but the active one has subscriptions."""
    return VapidKeyList(data=describe_ring(session_of(request)))


@router.post("/v1/site/vapid-keys", status_code=201)
def rotate(request: Request, _principal: Writer) -> VapidKeyOut:
    """Make a new active VAPID key. Subscriptions keep the one they were made with until their owners' next visit."""
    session = session_of(request)
    rotate_vapid_key(session)
    return next(key for key in describe_ring(session) if key.active)


@router.delete("/v1/site/vapid-keys/{public_key}")
def delete_vapid_key(
    public_key: Annotated[str, Path(max_length=100)],
    request: Request,
    _principal: Writer,
    lose_subscriptions: Annotated[
        int, Query(ge=0, le=2**31 - 1, description="how many active subscriptions it may cost at most; they end")
    ] = 0,
) -> Retired:
    """Retire a former key: its private half is destroyed. Refused (409) while subscriptions need it. Again is fine."""
    return Retired(lost_subscriptions=retire(session_of(request), public_key, lose_subscriptions))


def describe_ring(session: SiteSession) -> list[VapidKeyOut]:
    """The ring as it leaves the server, newest first: no private halves."""
    return [_out(one) for one in ring(session)]


def _out(one: InUse) -> VapidKeyOut:
    key = one.key
    return VapidKeyOut(
        public_key=security.b64url(key.public_key),
        active=key.active,
        subscriptions=one.subscriptions,
        created_at=clock.rfc3339(key.created_at) if key.created_at else None,
        retired_at=clock.rfc3339(key.retired_at) if key.retired_at else None,
    )
