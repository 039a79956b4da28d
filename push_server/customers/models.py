"""Customers: known by the shop's own id, or anonymous by a browser's id, or both."""

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Sequence,
    SmallInteger,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

from push_server.db import Instant, SiteScoped, instant_field

customer_sequence = Sequence("customer_seq", metadata=SQLModel.metadata)

# A bijection of 0…2^31-1 (odd multiplier, golden ratio): ids look drawn at random, so that any range of them is a
# fair sample of customers, and stay four bytes wide in every index.
SCRAMBLED_ID = "((nextval('customer_seq') * 1640531527) & 2147483647)::integer"


class Customer(SiteScoped, table=True):
    """A person as the shop knows him."""

    __table_args__ = (
        Index("customer_external", "site_id", "external_id", unique=True),
        Index("customer_birthday", "site_id", "birth_md", postgresql_where=text("birth_md is not null")),
    )

    id: int | None = Field(
        default=None,
        sa_column=Column(Integer, primary_key=True, server_default=text(SCRAMBLED_ID), autoincrement=False),
    )
    external_id: str | None = Field(default=None, description="the shop's own id (userId); null while anonymous")
    anonymous_id: str | None = Field(default=None, description="the first browser id seen")
    attributes: dict[str, object] = Field(default_factory=dict, sa_type=JSONB)
    time_zone: str | None = None
    birth_md: int | None = Field(default=None, sa_type=SmallInteger, description="month * 100 + day of birth")
    created_at: datetime | None = instant_field(default=None, sa_column_kwargs={"server_default": func.now()})
    updated_at: datetime | None = instant_field(default=None, sa_column_kwargs={"server_default": func.now()})


# Which customer a browser's anonymous id stands for now.
customer_alias = Table(
    "customer_alias",
    SQLModel.metadata,
    Column("site_id", BigInteger, ForeignKey("site.id", ondelete="CASCADE"), nullable=False),
    Column("anonymous_id", Text, nullable=False),
    Column("customer_id", Integer, ForeignKey("customer.id", ondelete="CASCADE"), nullable=False, index=True),
    PrimaryKeyConstraint("site_id", "anonymous_id"),
)

# What changed for whom: one row for each transaction that wrote facts, in that transaction; arrays of equal length.
# Whoever keeps something that follows from customers' facts takes the rows away as he works them off (changes.py).
change_note = Table(
    "change_note",
    SQLModel.metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("site_id", BigInteger, ForeignKey("site.id", ondelete="CASCADE"), nullable=False),
    Column("noted_at", Instant, nullable=False, comment="the writer's now: no fact noted here is later"),
    Column("customers", ARRAY(Integer), nullable=False),
    Column("kinds", ARRAY(Integer), nullable=False, comment="an event name's dictionary id, or a changes.Kind"),
    Index("change_note_of_site", "site_id", "id"),
)

# Customers to be looked at again when an instant comes that lay ahead as their facts were written.
customer_due = Table(
    "customer_due",
    SQLModel.metadata,
    Column("site_id", BigInteger, ForeignKey("site.id", ondelete="CASCADE"), nullable=False),
    Column("at", Instant, nullable=False),
    Column("customer_id", Integer, nullable=False, index=True),
    PrimaryKeyConstraint("site_id", "at", "customer_id"),
)
