"""What templates may name: `customer`, `points`, `site`, and `product` where the message guards products' stock.

What has no value is left out rather than blank, so that a text about it is an error instead of half a sentence.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sqlmodel import col, select

from push_server.catalog.models import Product
from push_server.db import SiteSession
from push_server.delivery.message import Message
from push_server.loyalty.program import Program, program_of
from push_server.loyalty.standing import Standing, standings
from push_server.sites.models import Site


def customer_variables(
    external_id: str | None, anonymous_id: str | None, attributes: Mapping[str, object] | None, time_zone: str | None
) -> dict[str, object]:
    """`customer`: the attributes, and above them the ids and the time zone."""
    own = {"external_id": external_id, "anonymous_id": anonymous_id, "time_zone": time_zone}
    return _present({**(attributes or {}), **_present(own)})


def points_variables(
    session: SiteSession, site: Site, customers: Sequence[int], now: datetime
) -> dict[int, dict[str, object]]:
    """`points` of each of these customers as of `now`, in the shop's calendar."""
    zone = ZoneInfo(site.time_zone)
    program = program_of(session.raw, session.site_id) or Program()
    return {id: _points(standing, program, now, zone) for id, standing in standings(session, customers, now).items()}


def has_spent(message: Message, points: Mapping[str, object]) -> bool:
    """Whether a customer, by his variable `points`, has fewer than the message is about."""
    least, balance = message.points_at_least, points.get("balance", 0)
    return least is not None and isinstance(balance, int) and balance < least


def _points(standing: Standing, program: Program, now: datetime, zone: ZoneInfo) -> dict[str, object]:
    """What expires is left out where nothing does: so no text tells of points that are spent by now."""
    variables: dict[str, object] = {
        "balance": standing.balance,
        "name": program.name(standing.balance),
        "singular": program.singular,
        "plural": program.plural,
        "tier": standing.tier,
        "next_tier": program.next_tier(standing.tier),
    }
    if standing.expiries:
        first = standing.expiries[0][0].astimezone(zone)
        variables |= {
            "expiring": sum(points for at, points in standing.expiries if at.astimezone(zone).date() == first.date()),
            "expires_at": first.isoformat(),
            "days_left": (first.date() - now.astimezone(zone).date()).days,
        }
    for days in (7, 30):
        soon = sum(points for at, points in standing.expiries if at <= now + timedelta(days=days))
        variables[f"expiring_in_{days}_days"] = soon or None
    return _present(variables)


def site_variables(site: Site) -> dict[str, object]:
    """`site`: name, url (its first origin), currency and time zone."""
    return {"name": site.name, "url": site.origins[0], "currency": site.currency, "time_zone": site.time_zone}


def product_variables(product: Product) -> dict[str, object]:
    """`product`: its fields; the price as the decimal text that the shop gave."""
    fields = product.model_dump(
        include={"product_id", "name", "url", "image_url", "price", "category", "brand", "stock"}
    )
    return _present({name: _plain(value) for name, value in fields.items()})


def guarded_products(session: SiteSession, product_ids: Sequence[str]) -> list[Product]:
    """The products of these ids that the catalogue has, in the order asked for."""
    if not product_ids:
        return []
    found = session.exec(select(Product).where(col(Product.product_id).in_(product_ids)))
    by_id = {product.product_id: product for product in found}
    return [by_id[product_id] for product_id in product_ids if product_id in by_id]


def all_in_stock(products: Sequence[Product], product_ids: Sequence[str]) -> bool:
    """Whether each id is in the catalogue and not sold out. A product whose stock is not kept never is."""
    in_stock = {product.product_id for product in products if product.stock is None or product.stock > 0}
    return in_stock.issuperset(product_ids)


def common_variables(site: Site, products: Sequence[Product]) -> dict[str, Any]:
    """What is the same for every delivery of a message: `site`, and `product`, the first of the guarded ones."""
    variables: dict[str, Any] = {"site": site_variables(site)}
    if products:
        variables["product"] = product_variables(products[0])
    return variables


def _present(values: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not None}


def _plain(value: object) -> object:
    return format(value, "f") if isinstance(value, Decimal) else value
