"""What a campaign would look like: its notifications rendered for real customers, with every fault named."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlmodel import col, select

from push_server import clock
from push_server.audiences.service import members_page
from push_server.campaigns.document import message_of
from push_server.campaigns.models import Campaign
from push_server.campaigns.service import fresh_audience
from push_server.customers.models import Customer
from push_server.db import SiteSession
from push_server.delivery import token
from push_server.delivery.guards import PRICE_DAYS, are_lowest
from push_server.delivery.message import Message, document, encode, fill_in
from push_server.delivery.variables import (
    all_in_stock,
    common_variables,
    customer_variables,
    guarded_products,
    has_spent,
    points_variables,
)
from push_server.settings import settings
from push_server.sites.models import Site
from push_server.webpush.encryption import MAX_PLAINTEXT

SAMPLES = 3


@dataclass(frozen=True, slots=True)
class Preview:
    """One variant as one customer would get it; `notification` None and `bytes` 0 when it would not be sent."""

    variant: int
    customer: Customer
    notification: dict[str, Any] | None
    errors: list[tuple[str, str]]
    bytes: int


def preview(session: SiteSession, campaign: Campaign, site: Site, customer: Customer | None) -> list[Preview]:
    """Every variant for this customer, or for a few members of the audience."""
    customers = [customer] if customer is not None else _samples(session, campaign)
    message = message_of(campaign.document)
    products = guarded_products(session, message.in_stock)
    common = common_variables(site, products)
    points = points_variables(session, site, [one.id for one in customers if one.id is not None], clock.now())
    unkept = [] if all_in_stock(products, message.in_stock) else [("$.guards.in_stock", "a product is not in stock")]
    if message.lowest_price_30d and not are_lowest(session, message.in_stock):
        why = f"a product has no price, or had a lower one within {PRICE_DAYS} days"
        unkept.append(("$.guards.lowest_price_30d", why))
    return [
        _render(at, notification, one, {**common, "points": own}, [*unkept, *_spent(message, own)])
        for one in customers
        for own in [points[one.id or 0]]
        for at, notification in enumerate(message.notifications)
    ]


def _spent(message: Message, points: dict[str, object]) -> list[tuple[str, str]]:
    why = f"the customer has {points['balance']} points"
    return [("$.guards.points_at_least", why)] if has_spent(message, points) else []


def audience_size(session: SiteSession, campaign: Campaign) -> tuple[int, int]:
    """How many customers the audience has now, and how many of them have an active subscription."""
    include, exclude = fresh_audience(session, campaign)
    row = session.sql(
        text(
            """
            select count(*), count(*) filter (where exists (
                select 1 from subscription s where s.customer_id = m.customer_id and s.state = 'active'))
            from (select distinct customer_id from segment_member where segment_id = any(:include)
                  and customer_id not in (select customer_id from segment_member where segment_id = any(:exclude))) m
            """
        ),
        {"include": include, "exclude": exclude},
    ).one()
    return int(row[0]), int(row[1])


def _samples(session: SiteSession, campaign: Campaign) -> list[Customer]:
    include, exclude = fresh_audience(session, campaign)
    ids = members_page(session, include, exclude, None, SAMPLES)
    return list(session.exec(select(Customer).where(col(Customer.id).in_(ids)).order_by(col(Customer.id))))


def _render(
    at: int,
    notification: dict[str, Any],
    customer: Customer,
    common: dict[str, Any],
    unkept: list[tuple[str, str]],
) -> Preview:
    person = customer_variables(customer.external_id, customer.anonymous_id, customer.attributes, customer.time_zone)
    filled, faults = fill_in(notification, {**common, "customer": person})
    place = f"$.variants[{at}].notification"
    errors = [*unkept, *((place + fault.path[1:], fault.message) for fault in faults)]
    if faults:
        return Preview(at, customer, None, errors, 0)
    size = len(encode(document(filled, token.issue(0, 0), token.stable_name(0), settings().public_url)))
    if size > MAX_PLAINTEXT:
        errors.append((place, f"{size} bytes are more than the {MAX_PLAINTEXT} that a push message takes"))
    return Preview(at, customer, filled, errors, size)
