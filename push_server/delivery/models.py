"""Dispatches (one planned run of a campaign), their deliveries, and the receipts that come back."""

from datetime import datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

from push_server.db import Instant, SiteScoped, instant_field
from push_server.sites.caps import MARKETING


class DispatchState(StrEnum):
    """Planning writes delivery rows; sending works them off; done has no open row left."""

    PLANNING = "planning"
    SENDING = "sending"
    DONE = "done"


class DeliveryState(StrEnum):
    """queued → sending → accepted | retry → … | failed | expired | suppressed."""

    QUEUED = "queued"
    SENDING = "sending"
    ACCEPTED = "accepted"
    RETRY = "retry"
    FAILED = "failed"
    EXPIRED = "expired"
    SUPPRESSED = "suppressed"

    @property
    def terminal(self) -> bool:
        """Whether nothing more will happen to the delivery."""
        return self not in (DeliveryState.QUEUED, DeliveryState.SENDING, DeliveryState.RETRY)


class Reason(StrEnum):
    """Why a delivery did not go out (contract §3)."""

    CAPPED = "capped"
    QUIET_HOURS = "quiet_hours"
    UNSUBSCRIBED = "unsubscribed"
    GONE = "gone"
    LEFT_SEGMENT = "left_segment"
    BOUGHT = "bought"
    OUT_OF_STOCK = "out_of_stock"
    PRICE_GUARD = "price_guard"
    HOLDOUT = "holdout"
    RENDER_ERROR = "render_error"
    TOO_LARGE = "too_large"
    TOO_LATE = "too_late"
    NO_SUBSCRIPTION = "no_subscription"
    CANCELLED = "cancelled"
    VAPID_REJECTED = "vapid_rejected"
    PUSH_SERVICE_ERROR = "push_service_error"


class Dispatch(SiteScoped, table=True):
    """What the sender needs of a message, frozen when it was sent; knows nothing of campaigns but their id."""

    __table_args__ = (Index("dispatch_open", "state", postgresql_where=text("state <> 'done'")),)

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    campaign_id: int = Field(sa_type=BigInteger, index=True)
    is_test: bool = Field(default=False, description="sent by `test`; counted in no report")
    state: DispatchState = Field(default=DispatchState.PLANNING, sa_type=Text)
    include: list[int] = Field(sa_type=ARRAY(BigInteger), description="internal segment ids")
    exclude: list[int] = Field(default_factory=list, sa_type=ARRAY(BigInteger))
    message: dict[str, object] = Field(
        sa_type=JSONB, description="variants, ttl, urgency, topic, guards, holdout_percent"
    )
    at_most_once: bool = Field(default=False, description="what may have been posted is not posted again")
    message_class: str = MARKETING
    priority: int | None = Field(
        default=None, sa_type=SmallInteger, description="among messages that caps limit; null: they do not limit it"
    )
    planned_to: int | None = Field(default=None, sa_type=BigInteger, description="keyset checkpoint: last customer id")
    winner: int | None = Field(default=None, sa_type=SmallInteger, description="the variant that an experiment found")
    decided_at: datetime | None = instant_field(default=None, nullable=True)
    is_certain: bool | None = Field(default=None, description="false: time was over before it was sure enough")
    slots: list[list[int]] = Field(default_factory=list, sa_type=JSONB, description="taken places, see slots.py")
    best_hour: int | None = Field(default=None, sa_type=SmallInteger, description="of its audience, see best_time.py")
    created_at: datetime | None = instant_field(default=None, sa_column_kwargs={"server_default": func.now()})
    due_at: datetime | None = instant_field(
        default=None,
        sa_column_kwargs={"server_default": func.now()},
        description="while planning: when the sweeper may put the planner on the queue again",
    )
    expires_at: datetime = instant_field(
        description="created_at + ttl; what is planned for later lives as long from then"
    )
    planned_at: datetime | None = instant_field(default=None, nullable=True, description="whole audience is in rows")
    done_at: datetime | None = instant_field(default=None, nullable=True)
    paused_at: datetime | None = instant_field(default=None, nullable=True, description="nothing is claimed meanwhile")
    resumed_at: datetime | None = instant_field(default=None, nullable=True)
    cancelled_at: datetime | None = instant_field(
        default=None, nullable=True, description="nothing is claimed any more"
    )


COUNTED: Final = (
    "coalesce(accepted_at, case when state in ('queued', 'sending', 'retry') then 'infinity'::timestamptz end)"
)
"""SQL of the instant by which frequency caps count a delivery: open ones for ever, and none that came to nothing."""

# One push message to one subscription; a customer without any has one row without a subscription.
# `due_at` says when the sweeper looks at an open row again: a queued one is then put on the queue anew, one waiting
# for a retry is then tried, and one being sent has then lost its lease. `attempts` counts claims, and so is the fencing
# token by which only the latest of them may write a result; `retries` counts the answers that asked for another try,
# `lapses` the leases that ran out, as they do when the row kills its worker. `not_before` is the instant that a row is
# planned for, if that is not at once: it is not claimed earlier, and its life begins then. As long as `due_at` is not
# later than that it has no job yet.
delivery = Table(
    "delivery",
    SQLModel.metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("site_id", BigInteger, ForeignKey("site.id", ondelete="CASCADE"), nullable=False),
    Column("dispatch_id", BigInteger, ForeignKey("dispatch.id", ondelete="CASCADE"), nullable=False),
    Column("customer_id", Integer, nullable=False),
    Column("subscription_id", BigInteger),
    Column("variant", SmallInteger, nullable=False, server_default="0"),
    Column("state", Text, nullable=False, server_default="queued"),
    Column("reason", Text),
    Column("attempts", SmallInteger, nullable=False, server_default="0"),
    Column("retries", SmallInteger, nullable=False, server_default="0"),
    Column("lapses", SmallInteger, nullable=False, server_default="0"),
    Column("status_code", SmallInteger),
    Column("not_before", Instant),
    Column("due_at", Instant),
    Column("accepted_at", Instant),
    Column("updated_at", Instant, nullable=False, server_default=func.now()),
    Index("delivery_once", "dispatch_id", "subscription_id", unique=True),
    Index("delivery_of_dispatch", "dispatch_id", "id"),
    Index("delivery_queued", "dispatch_id", "due_at", postgresql_where=text("state = 'queued'")),
    Index(
        "delivery_planned", "dispatch_id", "due_at", postgresql_where=text("state = 'queued' and due_at <= not_before")
    ),
    Index("delivery_due", "dispatch_id", "due_at", postgresql_where=text("state in ('sending', 'retry')")),
    Index("delivery_of_customer", "customer_id", text(f"({COUNTED})")),
)

receipt = Table(
    "receipt",
    SQLModel.metadata,
    Column("delivery_id", BigInteger, ForeignKey("delivery.id", ondelete="CASCADE"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("action", Text, nullable=False, server_default=""),
    Column("at", Instant, nullable=False),
    Column("received_at", Instant, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("delivery_id", "kind", "action"),
)


def expires_at(row: str, dispatch: str) -> str:
    """SQL of when a delivery's life ends, given the names of its row and of its dispatch in the statement."""
    return f"coalesce({row}.not_before, {dispatch}.created_at) + ({dispatch}.expires_at - {dispatch}.created_at)"
