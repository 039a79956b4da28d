"""Stored segments and their members."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, Column, ForeignKey, Identity, Index, Integer, PrimaryKeyConstraint, Table, Text, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from push_server.db import Instant, SiteScoped, instant_field
from push_server.ids import uuid7


class SegmentState(StrEnum):
    """Usable when ready; new or edited segments are pending until their first evaluation is done."""

    PENDING = "pending"
    READY = "ready"


class Segment(SiteScoped, table=True):
    """A rule with a name."""

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    public_id: UUID = Field(default_factory=uuid7, unique=True)
    name: str
    rule: dict[str, object] = Field(sa_type=JSONB)
    sentence: str
    state: SegmentState = Field(default=SegmentState.PENDING, sa_type=Text)
    size: int | None = None
    reachable: int | None = Field(default=None, description="members with an active subscription")
    fresh_at: datetime | None = instant_field(default=None, nullable=True)
    created_at: datetime | None = instant_field(default=None, sa_column_kwargs={"server_default": func.now()})
    updated_at: datetime | None = instant_field(default=None, sa_column_kwargs={"server_default": func.now()})


segment_member = Table(
    "segment_member",
    SQLModel.metadata,
    Column("segment_id", BigInteger, ForeignKey("segment.id", ondelete="CASCADE"), nullable=False),
    Column("customer_id", Integer, ForeignKey("customer.id", ondelete="CASCADE"), nullable=False),
    Column("since", Instant, nullable=False),
    PrimaryKeyConstraint("segment_id", "customer_id"),
    Index("segment_member_of_customer", "customer_id", "segment_id"),
)
