"""Reading and writing customers by the shop's own ids."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlmodel import select

from push_server import clock
from push_server.customers.changes import Kind, note
from push_server.customers.erasure import erase
from push_server.customers.identity import lock_site, resolve_customer
from push_server.customers.models import Customer, customer_alias
from push_server.customers.traits import MAX_ATTRIBUTES, MAX_BYTES, Patch, apply_patches
from push_server.db import SiteSession
from push_server.errors import Conflict, Fault, Invalid, NotFound
from push_server.sites.service import is_time_zone


@dataclass(frozen=True, slots=True)
class Change:
    """What to change: an attribute of None is taken away; `clear_time_zone` says that he has none from now on."""

    attributes: dict[str, Any]
    time_zone: str | None = None
    clear_time_zone: bool = False


def put_customer(session: SiteSession, external_id: str, change: Change) -> tuple[Customer, bool]:
    """Merge the change into the customer, who is created when new; returns him and whether he was.

    Like the trait, an attribute `timezone` sets the time zone, unless one is given. Raises Invalid where he would
    have more than 300 attributes or 64 KB of them.
    """
    site_id = session.site_id
    lock_site(session.raw, site_id)
    created = _find(session, external_id) is None
    customer_id = resolve_customer(session.raw, site_id, external_id, None)
    zone = change.time_zone
    if zone is None and not change.clear_time_zone:
        told = change.attributes.get("timezone")
        zone = told if isinstance(told, str) and is_time_zone(told) else None
    is_beyond = apply_patches(session.raw, site_id, {customer_id: Patch(change.attributes, zone)})
    if change.clear_time_zone:
        session.sql(
            text(
                "update customer set time_zone = null, updated_at = :now"
                " where site_id = :site and id = :id and time_zone is not null"
            ),
            {"now": clock.now(), "site": site_id, "id": customer_id},
        )
    if is_beyond:
        raise _too_many(session, customer_id)
    note(session.raw, site_id, [(customer_id, Kind.ATTRIBUTES)])
    statement = select(Customer).where(Customer.id == customer_id).execution_options(populate_existing=True)
    return session.exec(statement).one(), created


def find_customer(session: SiteSession, external_id: str) -> Customer:
    """The customer with the shop's id; 404 without one."""
    customer = _find(session, external_id)
    if customer is None:
        raise NotFound("There is no customer with this external id.", code="no_such_customer")
    return customer


def erase_customer(session: SiteSession, external_id: str) -> None:
    """Erase a customer with all that is known of him; 404 without one."""
    lock_site(session.raw, session.site_id, exclusive=True)  # before he is looked up: nobody merges him away
    customer = find_customer(session, external_id)
    assert customer.id is not None
    erase(session.raw, session.site_id, customer.id)
    session.expunge(customer)


def erase_anonymous(session: SiteSession, anonymous_id: str) -> None:
    """Erase the anonymous customer whom a browser's id stands for; 404 without one.

    409 where it stands for a known one: others may have used the same browser, so he is erased by his own id.
    """
    lock_site(session.raw, session.site_id, exclusive=True)
    found = customers_page(session, 0, 1, None, anonymous_id)
    if not found:
        raise NotFound("There is no customer with this anonymous id.", code="no_such_customer")
    if found[0].external_id is not None:
        raise Conflict(
            f"This browser's id stands for the customer {found[0].external_id!r}. To erase him with all his browsers,"
            " call DELETE /v1/customers/{external_id}.",
            code="customer_is_known",
        )
    assert found[0].id is not None
    erase(session.raw, session.site_id, found[0].id)
    session.expunge(found[0])


def customers_page(
    session: SiteSession, after: int, limit: int, external_id: str | None, anonymous_id: str | None
) -> list[Customer]:
    """Customers by internal id, from behind `after`; narrowed to the one with an id, when one is given."""
    statement = select(Customer).where(Customer.id > after)  # type: ignore[operator]
    if external_id is not None:
        statement = statement.where(Customer.external_id == external_id)
    if anonymous_id is not None:
        stands_for = select(customer_alias.c.customer_id).where(
            customer_alias.c.site_id == session.site_id, customer_alias.c.anonymous_id == anonymous_id
        )
        statement = statement.where(Customer.id.in_(stands_for))  # type: ignore[union-attr]
    return list(session.exec(statement.order_by(Customer.id).limit(limit)))  # type: ignore[arg-type]


def _find(session: SiteSession, external_id: str) -> Customer | None:
    return session.exec(select(Customer).where(Customer.external_id == external_id)).first()


def _too_many(session: SiteSession, customer_id: int) -> Invalid:
    row = session.sql(
        text(
            "select octet_length(attributes::text) as bytes, (select count(*) from jsonb_object_keys(attributes)) as n"
            " from customer where site_id = :site and id = :id"
        ),
        {"site": session.site_id, "id": customer_id},
    ).one()
    return Invalid(
        f"A customer takes at most {MAX_ATTRIBUTES} attributes and {MAX_BYTES} bytes of them; with these it would "
        f"be {row.n} and {row.bytes}. Take some away by setting them to null.",
        code="too_many_attributes",
        faults=[Fault("$.attributes", f"{row.n} attributes, {row.bytes} bytes in all", "too_many_attributes")],
    )
