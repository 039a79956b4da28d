"""Sites, their API keys and their VAPID key ring."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, Column, Identity, Index, LargeBinary, Text, func, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

from push_server.db import SiteScoped, instant_field
from push_server.ids import uuid7


class Site(SQLModel, table=True):
    """One shop. `settings` holds the prompt's texts and what else the SDK is told."""

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    public_id: UUID = Field(default_factory=uuid7, unique=True)
    name: str
    origins: list[str] = Field(sa_type=ARRAY(Text))
    time_zone: str = "UTC"
    currency: str = "EUR"
    contact: str = Field(description="mailto: or https:, the `sub` of VAPID tokens (RFC 8292 §2.1)")
    public_key: str = Field(unique=True, description="pk_…; public by design, so stored as it is")
    identity_secret: bytes = Field(sa_type=LargeBinary, description="sealed")
    identity_verification: bool = False
    secret_orders_only: bool = Field(default=False, description="Order * and Loyalty * only by the secret key")
    settings: dict[str, object] = Field(default_factory=dict, sa_type=JSONB)
    created_at: datetime | None = instant_field(default=None, sa_column_kwargs={"server_default": func.now()})


class ApiKey(SiteScoped, table=True):
    """A secret API key: only its hash is kept, with the scopes it was given."""

    __tablename__ = "api_key"

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    name: str = "default"
    hash: bytes = Field(sa_type=LargeBinary, unique=True)
    hint: str = Field(description="the first characters, to tell keys apart")
    scopes: list[str] = Field(sa_type=ARRAY(Text))
    created_at: datetime | None = instant_field(default=None, sa_column_kwargs={"server_default": func.now()})
    last_used_at: datetime | None = instant_field(default=None, nullable=True)
    revoked_at: datetime | None = instant_field(default=None, nullable=True)


class VapidKey(SiteScoped, table=True):
    """One key pair of a site's ring. Subscriptions remember theirs; one key is active for new ones."""

    __tablename__ = "vapid_key"
    __table_args__ = (Index("vapid_key_one_active", "site_id", unique=True, postgresql_where=text("active")),)

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    public_key: bytes = Field(sa_type=LargeBinary, unique=True, description="65-byte uncompressed point")
    private_key: bytes | None = Field(
        sa_type=LargeBinary, nullable=True, description="32-byte scalar, sealed; null: destroyed when it was retired"
    )
    active: bool = True
    created_at: datetime | None = instant_field(default=None, sa_column_kwargs={"server_default": func.now()})
    retired_at: datetime | None = instant_field(
        default=None, nullable=True, description="from then on nothing is signed with it; ended subscriptions name it"
    )


class Scope(StrEnum):
    """What a secret key may do. `*` is all of them."""

    ALL = "*"
    EVENTS_WRITE = "events:write"
    EVENTS_READ = "events:read"
    CUSTOMERS_READ = "customers:read"
    CUSTOMERS_WRITE = "customers:write"
    PRODUCTS_READ = "products:read"
    PRODUCTS_WRITE = "products:write"
    LOYALTY_READ = "loyalty:read"
    LOYALTY_WRITE = "loyalty:write"
    SEGMENTS_READ = "segments:read"
    SEGMENTS_WRITE = "segments:write"
    CAMPAIGNS_READ = "campaigns:read"
    CAMPAIGNS_WRITE = "campaigns:write"
    SITE_READ = "site:read"
    SITE_WRITE = "site:write"
