"""The points programme, points lots, redemptions and tiers, and the worth of each lot over time.

`points_lot` and `points_redemption` hold what the shop said. What follows from it is `points_value`: how much of a lot
is unspent from `since` until `until`, where the next redemption draws from it or it expires. A question about instant
t looks at `since <= t < until`. It is rebuilt for a customer whenever a lot or a redemption of his comes in.
"""

from sqlalchemy import BigInteger, Column, ForeignKey, Identity, Index, Integer, Table, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import SQLModel

from push_server.db import Instant

metadata = SQLModel.metadata


def _site() -> Column[int]:
    return Column("site_id", BigInteger, ForeignKey("site.id", ondelete="CASCADE"), nullable=False)


def _customer() -> Column[int]:
    return Column("customer_id", Integer, ForeignKey("customer.id", ondelete="CASCADE"), nullable=False)


loyalty_program = Table(
    "loyalty_program",
    metadata,
    Column("site_id", BigInteger, ForeignKey("site.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("singular", Text, nullable=False),
    Column("plural", Text, nullable=False),
    Column("expires_after", Text, comment="a duration such as 365d; null: for ever"),
    Column("tiers", ARRAY(Text), nullable=False, comment="the lowest first"),
)

points_lot = Table(
    "points_lot",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    _site(),
    _customer(),
    Column("lot_id", Text, nullable=False),
    Column("points", BigInteger, nullable=False),
    Column("earned_at", Instant, nullable=False),
    Column("expires_at", Instant, comment="null: never"),
    UniqueConstraint("site_id", "lot_id"),
    Index("points_lot_of_customer", "customer_id", "earned_at"),
)

points_redemption = Table(
    "points_redemption",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    _site(),
    _customer(),
    Column("redemption_id", Text, nullable=False),
    Column("points", BigInteger, nullable=False),
    Column("at", Instant, nullable=False),
    Column("state", Text, nullable=False, comment="drawn; or uncovered: told by an event, and no lot covers it"),
    UniqueConstraint("site_id", "redemption_id"),
    Index("points_redemption_of_customer", "customer_id", "at"),
)

# What rules read for `points`. `expires_at` is infinity for lots that never expire.
points_value = Table(
    "points_value",
    metadata,
    Column("lot_ref", BigInteger, ForeignKey("points_lot.id", ondelete="CASCADE"), nullable=False, index=True),
    _site(),
    _customer(),
    Column("since", Instant, nullable=False),
    Column("until", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("points", BigInteger, nullable=False),
    Index(
        "points_value_by_customer",
        "site_id",
        "customer_id",
        "expires_at",
        postgresql_include=["since", "until", "points"],
    ),
    Index(
        "points_value_by_expiry",
        "site_id",
        "expires_at",
        postgresql_include=["customer_id", "since", "until", "points"],
    ),
)

# A customer's tier at t is that of the newest row no later than t. Of two at one instant the higher `seq` counts.
tier_change = Table(
    "tier_change",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    _site(),
    _customer(),
    Column("at", Instant, nullable=False),
    Column("tier", Text, comment="null: none from here on"),
    Index(
        "tier_change_by_customer",
        "site_id",
        "customer_id",
        text("at desc"),
        text("seq desc"),
        postgresql_include=["tier"],
    ),
)
