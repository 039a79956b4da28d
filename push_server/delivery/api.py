"""`/v1/receipts`: what browsers tell of the messages they got."""

from typing import Annotated, Literal

from fastapi import Request
from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError
from sqlmodel import select

from push_server.delivery import receipts, token
from push_server.errors import Fault, Invalid
from push_server.fields import BrowserBody, storable
from push_server.http import session_of
from push_server.sites.access import browser_caller, check_origin, credentials
from push_server.sites.browser import browser_router
from push_server.sites.models import Site

router = browser_router("receipts")
MAX_RECEIPTS = 100


def _action(value: object) -> object:
    return storable(value) if isinstance(value, str) else value


def _instant(value: object) -> object:
    if not isinstance(value, str):
        raise PydanticCustomError("instant_type", "must be an RFC 3339 time such as 2026-01-31T09:00:00Z")
    return value


class ReceiptIn(BrowserBody):
    """One fact: `delivery` is the token from the push message; `action` the clicked button's name."""

    delivery: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    kind: Literal["shown", "clicked", "closed"]
    action: Annotated[str, BeforeValidator(_action), StringConstraints(max_length=255)] | None = None
    at: Annotated[AwareDatetime, BeforeValidator(_instant, json_schema_input_type=str)] = Field(strict=False)


class ReceiptsIn(BrowserBody):
    """Receipts of one site's deliveries."""

    receipts: list[ReceiptIn] = Field(min_length=1, max_length=MAX_RECEIPTS)
    writeKey: str | None = Field(default=None, max_length=255)


class Taken(BaseModel):
    """How many receipts were taken; those told before are among them, and change nothing."""

    accepted: int


@router.post("/v1/receipts")
def post_receipts(body: ReceiptsIn, request: Request) -> Taken:
    """Take receipts. The signed tokens say whose they are; a key is not needed, but one that is sent must fit.

    `text/plain` is read as JSON too. The call is taken as a whole or, with a fault for each bad token, not at all.
    """
    site_id = _site_of_key(body, request)
    facts, faults = [], []
    for at, receipt in enumerate(body.receipts):
        try:
            delivery_id, owner = token.read(receipt.delivery)
        except ValueError:
            faults.append(Fault(f"$.receipts[{at}].delivery", "is no delivery token of this server", "bad_token"))
            continue
        site_id = owner if site_id is None else site_id
        if owner != site_id:
            faults.append(Fault(f"$.receipts[{at}].delivery", "is another site's delivery", "other_site"))
        action = receipt.action or "" if receipt.kind == "clicked" else ""
        facts.append(receipts.Fact(delivery_id, receipt.kind, action, receipt.at))
    if faults:
        raise Invalid("Some receipts are not valid; `errors` names each.", code="bad_receipts", faults=faults)
    assert site_id is not None
    _bind(request, site_id)
    receipts.record(session_of(request), facts)
    return Taken(accepted=len(facts))


def _site_of_key(body: ReceiptsIn, request: Request) -> int | None:
    if not credentials(request) and not body.writeKey:
        return None
    return browser_caller(request, body.writeKey).site.id


def _bind(request: Request, site_id: int) -> None:
    """What a key would have done: the session sees this site, whose page must be the caller."""
    session = session_of(request)
    site = session.exec(select(Site).where(Site.id == site_id)).one_or_none()
    if site is None:
        raise Invalid("The site of these deliveries is no more.", code="bad_receipts")
    request.state.site_origins = site.origins
    check_origin(request, site)
    session.bind_site(site_id)
