"""Campaigns: a message to segments."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, Column, Identity, Index, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from push_server.db import SiteScoped, instant_field
from push_server.ids import uuid7


class CampaignState(StrEnum):
    """Where a campaign is."""

    DRAFT = "draft"
    SCHEDULED = "scheduled"
    SENDING = "sending"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    SENT = "sent"


class Campaign(SiteScoped, table=True):
    """The campaign as it was posted (`document`, contract §3), and where it is."""

    __table_args__ = (Index("campaign_due", "next_at", postgresql_where=text("next_at is not null")),)

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    public_id: UUID = Field(default_factory=uuid7, unique=True)
    name: str
    document: dict[str, object] = Field(sa_type=JSONB)
    state: CampaignState = Field(default=CampaignState.DRAFT, sa_type=Text)
    created_at: datetime | None = instant_field(default=None, sa_column_kwargs={"server_default": func.now()})
    updated_at: datetime | None = instant_field(default=None, sa_column_kwargs={"server_default": func.now()})
    sent_at: datetime | None = instant_field(default=None, nullable=True)
    next_at: datetime | None = instant_field(default=None, nullable=True, description="when it starts, or starts again")
    paused_at: datetime | None = instant_field(default=None, nullable=True)
    cancelled_at: datetime | None = instant_field(default=None, nullable=True)
    problem: str | None = Field(default=None, sa_type=Text, description="why it was paused without being asked to")
