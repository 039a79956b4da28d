"""The shop's catalogue and its price and stock history."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import BigInteger, Column, ForeignKey, Identity, Index, Integer, Numeric, func, text
from sqlmodel import Field

from push_server.db import SiteScoped, instant_field


class Product(SiteScoped, table=True):
    """One article, by the shop's own id."""

    __table_args__ = (
        Index("product_external", "site_id", "product_id", unique=True),
        Index("product_lifespan", "site_id", "lifespan_days", postgresql_where=text("lifespan_days is not null")),
    )

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    product_id: str
    name: str | None = None
    url: str | None = None
    image_url: str | None = None
    price: Decimal | None = Field(default=None, sa_type=Numeric)
    category: str | None = None
    brand: str | None = None
    stock: int | None = Field(default=None, description="null: not kept, so never out of stock")
    lifespan_days: int | None = None
    created_at: datetime | None = instant_field(default=None, sa_column_kwargs={"server_default": func.now()})
    updated_at: datetime | None = instant_field(default=None, sa_column_kwargs={"server_default": func.now()})


class ProductHistory(SiteScoped, table=True):
    """A row each time price or stock changed."""

    __tablename__ = "product_history"
    __table_args__ = (Index("product_history_of", "product_ref", "at"),)

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    product_ref: int = Field(sa_column=Column(BigInteger, ForeignKey("product.id", ondelete="CASCADE"), nullable=False))
    at: datetime = instant_field()
    price: Decimal | None = Field(default=None, sa_type=Numeric)
    stock: int | None = Field(default=None, sa_type=Integer)
