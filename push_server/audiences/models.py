"""Stored segments, their members, and what keeps those right as facts come in and time passes."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Numeric,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    desc,
    false,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from push_server.db import Instant, SiteScoped, instant_field
from push_server.ids import uuid7


class SegmentState(StrEnum):
    """Usable when ready; new or edited ones are pending until their first evaluation is done, else failed."""

    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"


class Segment(SiteScoped, table=True):
    """A rule with a name."""

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    public_id: UUID = Field(default_factory=uuid7, unique=True)
    name: str
    rule: dict[str, object] = Field(sa_type=JSONB)
    state: SegmentState = Field(default=SegmentState.PENDING, sa_type=Text)
    size: int | None = None
    reachable: int | None = Field(default=None, description="members with an active subscription")
    rule_since: datetime | None = instant_field(
        default=None, nullable=True, description="members are those of this rule since then; null: not found yet"
    )
    fresh_at: datetime | None = instant_field(default=None, nullable=True, description="last evaluated whole")
    is_due: bool = Field(default=False, sa_column_kwargs={"server_default": false()}, description="to be so again")
    whole_ms: int | None = Field(default=None, description="what that took")
    created_at: datetime | None = instant_field(default=None, sa_column_kwargs={"server_default": func.now()})
    updated_at: datetime | None = instant_field(default=None, sa_column_kwargs={"server_default": func.now()})


class Backfill(SiteScoped, table=True):
    """A segment whose members are being found in the background, from the lowest customer id to the highest."""

    __tablename__ = "segment_backfill"

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    segment_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("segment.id", ondelete="CASCADE"), nullable=False, unique=True)
    )
    reached: int = Field(
        default=0, sa_column_kwargs={"server_default": "0"}, description="members are right up to this customer id"
    )
    width: int = Field(description="customer ids that are asked about at once")
    spent_ms: int = Field(
        default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": "0"}, description="in this attempt"
    )
    failures: int = Field(
        default=0, sa_column_kwargs={"server_default": "0"}, description="attempts that came to nothing, in a row"
    )
    problem: dict[str, str] | None = Field(
        default=None, sa_type=JSONB, description="why the last attempt failed: code, detail, since"
    )
    retry_at: datetime | None = instant_field(default=None, nullable=True, description="null: it is being worked on")


# The customers whom steps judged while a segment's members were being found in the background: what is stored of them
# is newer than what is found. Written under the site's membership lock.
backfill_change = Table(
    "backfill_change",
    SQLModel.metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("backfill_id", BigInteger, ForeignKey("segment_backfill.id", ondelete="CASCADE"), nullable=False),
    Column("customers", ARRAY(Integer), nullable=False),
    Index("backfill_change_of_backfill", "backfill_id", "id"),
)

# Members now. Nothing ties a row to its customer: of one who was merged or erased it goes with his change note.
segment_member = Table(
    "segment_member",
    SQLModel.metadata,
    Column("segment_id", BigInteger, ForeignKey("segment.id", ondelete="CASCADE"), nullable=False),
    Column("customer_id", Integer, nullable=False),
    Column("since", Instant, nullable=False),
    Column("reachable", Boolean, nullable=False, server_default=false(), comment="has an active subscription"),
    PrimaryKeyConstraint("segment_id", "customer_id"),
    Index("segment_member_of_customer", "customer_id", "segment_id", postgresql_include=["reachable"]),
)

# Who came and who went. Of two changes of one customer at one instant the higher id is the later one.
membership_change = Table(
    "membership_change",
    SQLModel.metadata,
    Column("id", BigInteger, Identity(), nullable=False),
    Column("segment_id", BigInteger, ForeignKey("segment.id", ondelete="CASCADE"), nullable=False),
    Column("customer_id", Integer, nullable=False),
    Column("at", Instant, nullable=False),
    Column("entered", Boolean, nullable=False),
    Index("membership_change_by_time", "segment_id", "at", "id", postgresql_include=["customer_id", "entered"]),
    Index(
        "membership_change_of_member",
        "segment_id",
        "customer_id",
        desc("at"),
        desc("id"),
        postgresql_include=["entered"],
    ),
    Index("membership_change_of_customer", "customer_id", "segment_id", "at", "id", postgresql_include=["entered"]),
)

# How far a site's segments are.
site_refresh = Table(
    "site_refresh",
    SQLModel.metadata,
    Column("site_id", BigInteger, ForeignKey("site.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("ticked_at", Instant, nullable=False, comment="up to here passing time is worked off"),
    Column("fresh_at", Instant, nullable=False, comment="the members are those of this instant"),
    Column("zone", Text, nullable=False, comment="the site's zone that the members were found with"),
    Column("edits", BigInteger, nullable=False, server_default="0", comment="grows when a rule of the site changes"),
)

# Where the border of a condition that depends on everyone runs, for all segments that have an equal one.
segment_border = Table(
    "segment_border",
    SQLModel.metadata,
    Column("site_id", BigInteger, ForeignKey("site.id", ondelete="CASCADE"), nullable=False),
    Column("leaf", Text, nullable=False, comment="the condition's key"),
    Column("border", ARRAY(Numeric), nullable=False, comment="members are told by it; null where nobody reaches it"),
    Column("found_at", Instant, nullable=False, comment="it was the border of this instant"),
    Column("cost_ms", Integer, nullable=False, comment="what finding it took"),
    Column("is_due", Boolean, nullable=False, server_default=false(), comment="something has changed since then"),
    PrimaryKeyConstraint("site_id", "leaf"),
)

# What customers are put in order by for conditions that depend on everyone, and how far `customer_worth` is filled.
worth_measure = Table(
    "worth_measure",
    SQLModel.metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("site_id", BigInteger, ForeignKey("site.id", ondelete="CASCADE"), nullable=False),
    Column("measure", Text, nullable=False, comment="what it is known by"),
    Column("filled_to", Integer, server_default="-1", comment="customers up to this id; null: all"),
    Column("ranked", Integer, nullable=False, server_default="0", comment="customers there are, once it is filled"),
    Column("worthy", Integer, nullable=False, server_default="0", comment="those of them who have a worth"),
    UniqueConstraint("site_id", "measure"),
)

# Who is worth how much by a measure. Of one who was merged or erased it goes with his change note.
customer_worth = Table(
    "customer_worth",
    SQLModel.metadata,
    Column("measure_id", Integer, ForeignKey("worth_measure.id", ondelete="CASCADE"), nullable=False),
    Column("customer_id", Integer, nullable=False),
    Column("worth", Numeric, comment="null: ranked behind everyone who has one"),
    PrimaryKeyConstraint("measure_id", "customer_id"),
    Index("customer_worth_in_order", "measure_id", "worth", postgresql_include=["customer_id"]),
)

# Where in that order a border is: the worth there, how many are worth less, and how many no more.
worth_place = Table(
    "worth_place",
    SQLModel.metadata,
    Column("measure_id", Integer, ForeignKey("worth_measure.id", ondelete="CASCADE"), nullable=False),
    Column("share", Numeric, nullable=False),
    Column("is_from_best", Boolean, nullable=False, comment="of everyone ranked; else of those who have a worth"),
    Column("worth", Numeric, nullable=False),
    Column("below", Integer, nullable=False),
    Column("upto", Integer, nullable=False),
    PrimaryKeyConstraint("measure_id", "share", "is_from_best"),
)

# The dates in those attributes that rules compare with the current time.
calendar = Table(
    "calendar",
    SQLModel.metadata,
    Column("site_id", BigInteger, ForeignKey("site.id", ondelete="CASCADE"), nullable=False),
    Column("attribute", Text, nullable=False),
    Column("customer_id", Integer, nullable=False),
    Column("at", Instant, comment="null: a day without an instant in reach"),
    Column("month_day", SmallInteger, comment="month * 100 + day"),
    PrimaryKeyConstraint("site_id", "attribute", "customer_id"),
    Index("calendar_by_time", "site_id", "attribute", "at", postgresql_include=["customer_id"]),
    Index("calendar_by_day", "site_id", "attribute", "month_day", postgresql_include=["customer_id"]),
)

# Which attributes `calendar` holds.
calendar_attribute = Table(
    "calendar_attribute",
    SQLModel.metadata,
    Column("site_id", BigInteger, ForeignKey("site.id", ondelete="CASCADE"), nullable=False),
    Column("attribute", Text, nullable=False),
    PrimaryKeyConstraint("site_id", "attribute"),
)

# Conditions that can turn at instants which no index over facts finds, and how far `customer_turn` is filled for them.
timed_leaf = Table(
    "timed_leaf",
    SQLModel.metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("site_id", BigInteger, ForeignKey("site.id", ondelete="CASCADE"), nullable=False),
    Column("leaf", Text, nullable=False, comment="what the condition is known by"),
    Column("filled_to", Integer, server_default="-1", comment="customers up to this id; null: all"),
    UniqueConstraint("site_id", "leaf"),
)

# The instants that lie ahead of customers at which such a condition can turn for them; those that have passed may stay.
customer_turn = Table(
    "customer_turn",
    SQLModel.metadata,
    Column("leaf_id", Integer, ForeignKey("timed_leaf.id", ondelete="CASCADE"), nullable=False),
    Column("customer_id", Integer, nullable=False),
    Column("at", Instant, nullable=False),
    PrimaryKeyConstraint("customer_id", "leaf_id", "at"),
    Index("customer_turn_by_time", "leaf_id", "at", postgresql_include=["customer_id"]),
)
