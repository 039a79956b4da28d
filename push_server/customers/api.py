"""`/v1/customers`: people, by the shop's own ids. (Their timeline is read in events.)"""

from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from push_server import clock, http
from push_server.customers import service
from push_server.customers.models import Customer
from push_server.errors import Invalid
from push_server.fields import Body, Cursor, Limit, Name, json_faults, storable
from push_server.http import Page, cursor_id, encode_cursor, session_of
from push_server.sites.access import Principal, require
from push_server.sites.models import Scope
from push_server.sites.service import check_time_zone

router = http.router("customers")

ExternalId = Annotated[
    str, Path(min_length=1, max_length=255, description="the shop's own id, URL-encoded"), AfterValidator(storable)
]
SomeId = Annotated[str | None, Query(max_length=255)]


class CustomerIn(Body):
    """What to change of a customer: attributes left out keep their value, null takes one away."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "attributes": {"email": "ada@example.com", "country": "HU", "birthday": "1990-04-17", "vip": True},
                "time_zone": "Europe/Budapest",
            }
        }
    )

    attributes: dict[str, Any] = Field(default_factory=dict)
    time_zone: Name | None = Field(default=None, description="IANA name; null: the site's")


class CustomerOut(BaseModel):
    """A customer; `anonymous_id` is the first browser id seen."""

    external_id: str | None
    anonymous_id: str | None
    attributes: dict[str, Any]
    time_zone: str | None
    created_at: str
    updated_at: str


class CustomerPage(Page):
    """A page of customers."""

    data: list[CustomerOut]


@router.put("/v1/customers/{external_id:path}", responses={201: {"model": CustomerOut, "description": "Created"}})
def put_customer(
    external_id: ExternalId,
    body: CustomerIn,
    request: Request,
    response: Response,
    _principal: Annotated[Principal, Depends(require(Scope.CUSTOMERS_WRITE))],
) -> CustomerOut:
    """Set some of a customer's attributes; he is created when new (201)."""
    faults = json_faults(body.attributes, "$.attributes")
    if faults:
        raise Invalid("Some attributes cannot be stored; `errors` names each.", faults=faults)
    if body.time_zone is not None:
        check_time_zone(body.time_zone)
    clear = body.time_zone is None and "time_zone" in body.model_fields_set
    change = service.Change(body.attributes, body.time_zone, clear)
    customer, created = service.put_customer(session_of(request), external_id, change)
    response.status_code = 201 if created else 200
    return _out(customer)


@router.get("/v1/customers")
def get_customers(
    request: Request,
    _principal: Annotated[Principal, Depends(require(Scope.CUSTOMERS_READ))],
    external_id: SomeId = None,
    anonymous_id: SomeId = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> CustomerPage:
    """The site's customers, in no telling order; with an id, the one whom it stands for."""
    found = service.customers_page(session_of(request), cursor_id(cursor), limit, external_id, anonymous_id)
    after = encode_cursor([found[-1].id]) if len(found) == limit else None
    return CustomerPage(data=[_out(customer) for customer in found], next_cursor=after)


@router.get("/v1/customers/{external_id:path}")
def get_customer(
    external_id: ExternalId,
    request: Request,
    _principal: Annotated[Principal, Depends(require(Scope.CUSTOMERS_READ))],
) -> CustomerOut:
    """One customer."""
    return _out(service.find_customer(session_of(request), external_id))


@router.delete("/v1/customers/{external_id:path}", status_code=204)
def delete_customer(
    external_id: ExternalId,
    request: Request,
    _principal: Annotated[Principal, Depends(require(Scope.CUSTOMERS_WRITE))],
) -> None:
    """Erase a customer with all that is known of him: events, orders, points, subscriptions, deliveries, memberships.

    Of his messages only a hash stays, so that an old one that is sent again does not bring half of him back.
    """
    service.erase_customer(session_of(request), external_id)


@router.delete("/v1/customers", status_code=204)
def delete_anonymous_customer(
    request: Request,
    _principal: Annotated[Principal, Depends(require(Scope.CUSTOMERS_WRITE))],
    anonymous_id: Annotated[
        str, Query(min_length=1, max_length=255, description="the browser's id"), AfterValidator(storable)
    ],
) -> None:
    """Erase an anonymous customer likewise; 409 when the browser's id stands for a known one by now."""
    service.erase_anonymous(session_of(request), anonymous_id)


def _out(customer: Customer) -> CustomerOut:
    assert customer.created_at is not None
    assert customer.updated_at is not None
    return CustomerOut(
        created_at=clock.rfc3339(customer.created_at),
        updated_at=clock.rfc3339(customer.updated_at),
        **customer.model_dump(include={"external_id", "anonymous_id", "attributes", "time_zone"}),
    )
