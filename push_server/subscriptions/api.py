"""`/v1/subscriptions`: browsers opt in and out; the shop reads who did."""

from datetime import datetime
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Query, Request, Response
from sqlmodel import select

from push_server import clock, http
from push_server.customers.models import Customer
from push_server.errors import TooLarge
from push_server.fields import Cursor, Limit
from push_server.http import cursor_id, encode_cursor, session_of
from push_server.sites.access import Principal, browser_caller, require, verify_user
from push_server.sites.browser import browser_router
from push_server.sites.models import Scope
from push_server.sites.service import is_time_zone
from push_server.subscriptions import service
from push_server.subscriptions.browsers import browser_of
from push_server.subscriptions.models import Subscription, SubscriptionState
from push_server.subscriptions.shapes import Created, EndpointIn, SubscriptionIn, SubscriptionOut, SubscriptionPage

browser_side = browser_router("subscriptions")
router = http.router("subscriptions")
MAX_BODY = 32 * 1024


def _small(request: Request) -> None:
    if int(request.headers.get("content-length") or 0) > MAX_BODY:
        raise TooLarge(f"A subscription takes at most {MAX_BODY} bytes.")


@browser_side.post("/v1/subscriptions", status_code=201, responses={200: {"model": Created}})
def post_subscription(body: SubscriptionIn, request: Request, response: Response) -> Created:
    """Store a browser's subscription: 201 when its endpoint is new, 200 when it was refreshed.

    The key comes as Basic user name or as `writeKey`. `text/plain` is read as JSON too, which spares a preflight.
    """
    _small(request)
    principal = browser_caller(request, body.writeKey)
    verify_user(principal, body.userId, body.userHash)
    endpoint, keys = body.subscription.endpoint, body.subscription.keys
    zone = body.told("timezone", 64)
    stored = service.subscribe(
        session_of(request),
        service.OptIn(
            endpoint=endpoint,
            p256dh=keys.p256dh,
            auth=keys.auth,
            application_server_key=body.applicationServerKey,
            external_id=body.userId,
            anonymous_id=body.anonymousId,
            previous_endpoint=body.previousEndpoint,
            topics=body.topics,
            browser=browser_of(endpoint, body.told("userAgent", 1000) or request.headers.get("user-agent", "")),
            locale=body.told("locale", 35),
            time_zone=zone if zone and is_time_zone(zone) else None,
        ),
    )
    response.status_code = 201 if stored.created else 200
    return Created(id=str(stored.id), created=stored.created)


@browser_side.delete("/v1/subscriptions", status_code=204)
def delete_subscription(body: EndpointIn, request: Request) -> None:
    """End a browser's subscription. An endpoint that the site does not have is ended already."""
    _small(request)
    browser_caller(request, body.writeKey)
    service.unsubscribe(session_of(request), body.endpoint)


@router.get("/v1/subscriptions")
def get_subscriptions(
    request: Request,
    _principal: Annotated[Principal, Depends(require(Scope.CUSTOMERS_READ))],
    state: SubscriptionState | None = None,
    external_id: Annotated[str | None, Query(max_length=255)] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> SubscriptionPage:
    """The site's subscriptions, oldest first."""
    statement = select(Subscription, Customer).join(Customer, Customer.id == Subscription.customer_id)  # type: ignore[arg-type]
    statement = statement.where(Subscription.id > cursor_id(cursor))  # type: ignore[operator]
    if state is not None:
        statement = statement.where(Subscription.state == state)
    if external_id is not None:
        statement = statement.where(Customer.external_id == external_id)
    rows = session_of(request).exec(statement.order_by(Subscription.id).limit(limit)).all()  # type: ignore[arg-type]
    after = encode_cursor([rows[-1][0].id]) if len(rows) == limit else None
    return SubscriptionPage(data=[_out(*row) for row in rows], next_cursor=after)


def _out(subscription: Subscription, customer: Customer) -> SubscriptionOut:
    parts = urlsplit(subscription.endpoint)
    return SubscriptionOut(
        id=str(subscription.public_id),
        external_id=customer.external_id,
        anonymous_id=customer.anonymous_id,
        state=SubscriptionState(subscription.state),
        push_service=f"{parts.scheme}://{parts.netloc}",
        created_at=_time(subscription.created_at) or "",
        updated_at=_time(subscription.updated_at) or "",
        ended_at=_time(subscription.ended_at),
        **subscription.model_dump(include={"browser", "locale", "time_zone", "topics"}),
    )


def _time(at: datetime | None) -> str | None:
    return clock.rfc3339(at) if at else None
