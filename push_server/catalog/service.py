"""Taking the shop's catalogue in, and reading it."""

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlmodel import select

from push_server import clock
from push_server.catalog.models import Product, ProductHistory
from push_server.customers.changes import NOBODY, Kind, note
from push_server.db import SiteSession
from push_server.errors import NotFound

_COLUMNS = {
    "name": "text",
    "url": "text",
    "image_url": "text",
    "price": "numeric",
    "category": "text",
    "brand": "text",
    "stock": "integer",
    "lifespan_days": "integer",
}


def _upsert_sql() -> str:
    """One statement for a whole call.

    `stored` in `changes` is still the row as it was before: all parts of a statement see the same snapshot.
    """
    names = ", ".join(_COLUMNS)
    given = ", ".join(
        f"case when doc ? '{name}' then (doc->>'{name}')::{kind} else stored.{name} end as {name}"
        for name, kind in _COLUMNS.items()
    )
    was = ", ".join(f"product.{name}" for name in _COLUMNS)
    now = ", ".join(f"excluded.{name}" for name in _COLUMNS)
    sets = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS)
    return f"""
        with merged as (
            select doc->>'product_id' as product_id, {given}
            from jsonb_array_elements(cast(:rows as jsonb)) doc
            left join product stored on stored.site_id = :site and stored.product_id = doc->>'product_id'
        ), written as (
            insert into product (site_id, product_id, {names}, created_at, updated_at)
            select :site, product_id, {names}, :now, :now from merged
            on conflict (site_id, product_id) do update set {sets}, updated_at = :now
            where ({was}) is distinct from ({now})
            returning id, product_id, price, stock, category, lifespan_days
        ), changes as (
            select written.*, stored.id is null as created,
                   (stored.category, stored.lifespan_days) is distinct from (written.category, written.lifespan_days)
                   as ruled,
                   (stored.price, stored.stock) is distinct from (written.price, written.stock) as priced
            from written left join product stored
              on stored.site_id = :site and stored.product_id = written.product_id
        ), history as (
            insert into product_history (site_id, product_ref, at, price, stock)
            select :site, id, :now, price, stock from changes where created or priced
        )
        select count(*) filter (where created) as created, count(*) filter (where not created) as updated,
               count(*) filter (where ruled) as ruled
        from changes
    """  # noqa: S608 - column names of our own


_UPSERT = text(_upsert_sql())


@dataclass(frozen=True, slots=True)
class Upserted:
    """What a call did: rows made, rows changed, and rows that already stood like that."""

    created: int
    updated: int
    unchanged: int


def upsert_products(session: SiteSession, rows: list[dict[str, Any]]) -> Upserted:
    """Insert or update products by `product_id`; a field that is not in a row keeps its value, null clears it.

    `rows` hold JSON values (price as a decimal's text), each product_id once. Calls for one site take turns, so that
    two of them neither deadlock nor lose each other's fields.
    """
    session.sql(
        text("select pg_advisory_xact_lock(hashtextextended(:what, 0))"), {"what": f"catalog {session.site_id}"}
    )
    done = session.sql(_UPSERT, {"rows": json.dumps(rows), "site": session.site_id, "now": clock.now()}).one()
    if done.ruled:  # rules ask category and lifespan, of everyone who bought the product
        note(session.raw, session.site_id, [(NOBODY, Kind.CATALOGUE)])
    return Upserted(done.created, done.updated, len(rows) - done.created - done.updated)


def find_product(session: SiteSession, product_id: str) -> Product:
    """The product with the shop's id; 404 without one."""
    product = session.exec(select(Product).where(Product.product_id == product_id)).first()
    if product is None:
        raise NotFound("There is no product with this id.", code="no_such_product")
    return product


def history_of(session: SiteSession, product: Product, limit: int) -> list[ProductHistory]:
    """The product's prices and stocks, newest first."""
    statement = select(ProductHistory).where(ProductHistory.product_ref == product.id)
    return list(session.exec(statement.order_by(ProductHistory.at.desc(), ProductHistory.id.desc()).limit(limit)))  # type: ignore[attr-defined,union-attr]


def products_page(session: SiteSession, after: int, limit: int) -> list[Product]:
    """Products in the order they came, from behind the row id `after`."""
    statement = select(Product).where(Product.id > after).order_by(Product.id).limit(limit)  # type: ignore[operator,arg-type]
    return list(session.exec(statement))
