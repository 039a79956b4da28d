"""`/v1/products`: the shop's catalogue, with its price and stock history."""

import re
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

from push_server import clock, http
from push_server.catalog import service
from push_server.catalog.models import Product
from push_server.errors import Fault, Invalid
from push_server.fields import Amount, Body, Cursor, Id, Limit, Line, Name, storable
from push_server.http import Page, cursor_id, encode_cursor, session_of
from push_server.sites.access import Principal, require
from push_server.sites.models import Scope

router = http.router("products")
MAX_PRODUCTS = 1000
MAX_HISTORY = 1000
_ADDRESS = re.compile(r"https?://[^\s/?#@]+(?:[/?#]\S*)?", re.IGNORECASE)


def _link(url: str) -> str:
    if not _ADDRESS.fullmatch(url):
        raise PydanticCustomError("url", "must be an absolute http(s) address")
    return storable(url)


Link = Annotated[str, StringConstraints(strict=True, max_length=2048), AfterValidator(_link)]


class ProductIn(Body):
    """A product, or the fields of it that changed: those left out keep their value, null clears one."""

    product_id: Id
    name: Line | None = None
    url: Link | None = None
    image_url: Link | None = None
    price: Amount | None = None
    category: Name | None = None
    brand: Name | None = None
    stock: int | None = Field(default=None, ge=0, lt=2**31, description="null: not kept, so never out of stock")
    lifespan_days: int | None = Field(default=None, ge=1, le=36500, description="how long one lasts, in days")


class ProductsIn(Body):
    """Products to take in."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "products": [
                    {
                        "product_id": "p1",
                        "name": "Dog food, 10 kg",
                        "url": "https://shop.example/p/1",
                        "image_url": "https://shop.example/p/1.jpg",
                        "price": 49.9,
                        "category": "dog",
                        "brand": "Rex",
                        "stock": 12,
                        "lifespan_days": 30,
                    }
                ]
            }
        }
    )

    products: list[ProductIn] = Field(min_length=1, max_length=MAX_PRODUCTS)


class Upserted(BaseModel):
    """`upserted` rows were taken: made, changed, or found to stand like that already."""

    upserted: int
    created: int
    updated: int
    unchanged: int


class ProductOut(BaseModel):
    """A product as it is now."""

    product_id: str
    name: str | None
    url: str | None
    image_url: str | None
    price: Amount | None
    category: str | None
    brand: str | None
    stock: int | None
    lifespan_days: int | None
    created_at: str
    updated_at: str


class Change(BaseModel):
    """Price and stock from `at` on."""

    at: str
    price: Amount | None
    stock: int | None


class ProductWithHistory(ProductOut):
    """A product and what it cost before, newest first."""

    history: list[Change]


class ProductPage(Page):
    """A page of products."""

    data: list[ProductOut]


@router.put("/v1/products")
def put_products(
    body: ProductsIn,
    request: Request,
    _principal: Annotated[Principal, Depends(require(Scope.PRODUCTS_WRITE))],
) -> Upserted:
    """Insert or update up to 1,000 products by `product_id`."""
    seen: dict[str, int] = {}
    for at, product in enumerate(body.products):
        first = seen.setdefault(product.product_id, at)
        if first != at:
            raise Invalid(
                "A product_id stands twice in this call; send each once.",
                code="duplicate_product",
                faults=[Fault(f"$.products[{at}].product_id", f"is also in $.products[{first}]", "duplicate_product")],
            )
    rows = [_row(product) for product in body.products]
    done = service.upsert_products(session_of(request), rows)
    return Upserted(upserted=len(rows), created=done.created, updated=done.updated, unchanged=done.unchanged)


@router.get("/v1/products")
def get_products(
    request: Request,
    _principal: Annotated[Principal, Depends(require(Scope.PRODUCTS_READ))],
    limit: Limit = 100,
    cursor: Cursor = None,
) -> ProductPage:
    """The catalogue, in the order it came."""
    found = service.products_page(session_of(request), cursor_id(cursor), limit)
    after = encode_cursor([found[-1].id]) if len(found) == limit else None
    return ProductPage(data=[ProductOut(**_fields(product)) for product in found], next_cursor=after)


@router.get("/v1/products/{product_id:path}")
def get_product(
    product_id: str,
    request: Request,
    _principal: Annotated[Principal, Depends(require(Scope.PRODUCTS_READ))],
    history: Annotated[int, Query(ge=0, le=MAX_HISTORY, description="changes to tell, newest first")] = 100,
) -> ProductWithHistory:
    """One product with the history of its price and stock."""
    session = session_of(request)
    product = service.find_product(session, product_id)
    changes = [
        Change(at=clock.rfc3339(change.at), price=change.price, stock=change.stock)
        for change in service.history_of(session, product, history)
    ]
    return ProductWithHistory(**_fields(product), history=changes)


def _row(product: ProductIn) -> dict[str, Any]:
    row = product.model_dump(exclude_unset=True)
    if row.get("price") is not None:
        row["price"] = str(product.price)
    return row


def _fields(product: Product) -> dict[str, Any]:
    fields = product.model_dump(exclude={"id", "site_id"})
    return fields | {name: clock.rfc3339(fields[name]) for name in ("created_at", "updated_at")}
