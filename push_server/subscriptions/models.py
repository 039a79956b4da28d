"""Subscriptions: one browser's opt-in, with the VAPID key it was made with."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, Column, ForeignKey, Identity, Index, Integer, LargeBinary, Text, func, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field

from push_server.db import SiteScoped, instant_field
from push_server.ids import uuid7


class SubscriptionState(StrEnum):
    """Active, or ended for ever: by its owner, by the push service (404/410), or replaced by a newer one."""

    ACTIVE = "active"
    UNSUBSCRIBED = "unsubscribed"
    GONE = "gone"
    REPLACED = "replaced"


class Subscription(SiteScoped, table=True):
    """One row per endpoint and site; the endpoint's SHA-256 is what makes it unique."""

    __table_args__ = (
        Index("subscription_endpoint", "site_id", "endpoint_hash", unique=True),
        Index("subscription_of_customer", "customer_id", postgresql_where=text("state = 'active'")),
        Index("subscription_of_vapid_key", "vapid_key_id", postgresql_where=text("state = 'active'")),
    )

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    public_id: UUID = Field(default_factory=uuid7, unique=True)
    customer_id: int = Field(
        sa_column=Column(Integer, ForeignKey("customer.id", ondelete="CASCADE"), nullable=False, index=True)
    )
    endpoint: str
    endpoint_hash: bytes = Field(sa_type=LargeBinary)
    p256dh: bytes = Field(sa_type=LargeBinary, description="65-byte uncompressed point")
    auth: bytes = Field(sa_type=LargeBinary, description="16 bytes, sealed")
    vapid_key_id: int = Field(sa_column=Column(BigInteger, ForeignKey("vapid_key.id"), nullable=False))
    state: SubscriptionState = Field(default=SubscriptionState.ACTIVE, sa_type=Text)
    browser: str | None = None
    locale: str | None = None
    time_zone: str | None = None
    topics: list[str] = Field(default_factory=list, sa_type=ARRAY(Text))
    created_at: datetime | None = instant_field(default=None, sa_column_kwargs={"server_default": func.now()})
    updated_at: datetime | None = instant_field(default=None, sa_column_kwargs={"server_default": func.now()})
    ended_at: datetime | None = instant_field(default=None, nullable=True)
    snoozed_until: datetime | None = instant_field(
        default=None, nullable=True, description="its owner wants no messages before"
    )
