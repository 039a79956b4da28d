"""Events and what is derived from them: orders with their changes, values and lines.

The hot tables are plain tables, written by COPY and read by generated SQL: `event` is narrow, with two covering
indexes; whatever else an event carried is in `event_body`. Money is stored in micros (millionths of a currency
unit), so that sums are exact. Names, categories and product ids are dictionary ids, each of one site, so that a
`kind_id` alone already says whose event it is. `event` is partitioned by year (see `partitions`).

An order's value and its lines are kept as versions, valid from `since` until `until`: a refund or a cancellation
closes one version at its own instant and opens the next. A question about instant t looks at `since <= t < until`.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Numeric,
    Sequence,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import SQLModel

from push_server.db import Instant

MICROS = 1_000_000
metadata = SQLModel.metadata

# Drawn in blocks by each process (hi/lo): the order of seq is not the order of commits.
SEQ_BLOCK = 1024
event_seq = Sequence("event_seq", increment=SEQ_BLOCK, metadata=metadata)


def _site() -> Column[int]:
    return Column("site_id", BigInteger, ForeignKey("site.id", ondelete="CASCADE"), nullable=False)


def _unchecked_site() -> Column[int]:
    """Without a foreign key: to check one costs as much as to store the row. Ingest has looked the site up."""
    return Column("site_id", BigInteger, nullable=False)


def _customer() -> Column[int]:
    return Column("customer_id", Integer, nullable=False)


# The dictionary: what = 'event' (names), 'category' or 'product' (the shop's ids).
term = Table(
    "term",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    _site(),
    Column("what", Text, nullable=False),
    Column("text", Text, nullable=False),
    UniqueConstraint("site_id", "what", "text"),
)

event = Table(
    "event",
    metadata,
    Column("kind_id", Integer, nullable=False),
    _customer(),
    Column("ts", Instant, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("value", BigInteger, comment="micros of revenue, else total, else value"),
    Column("product_id", Integer),
    Column("category_id", Integer),
    Index("event_by_customer", "kind_id", "customer_id", "ts", postgresql_include=["value", "category_id"]),
    Index("event_by_time", "kind_id", "ts", postgresql_include=["customer_id", "value", "category_id"]),
    postgresql_partition_by="RANGE (ts)",
)

event_body = Table(
    "event_body",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    _unchecked_site(),
    Column("message_key", Uuid, nullable=False, comment="blake2b-128 of site and messageId"),
    Column("message_id", Text, nullable=False),
    Column("properties", JSONB, nullable=False),
    Column("context", JSONB),
    Column("received_at", Instant, nullable=False),
    Index("event_body_message", "message_key", unique=True),
)

# An order as it was completed; `lines` as [{product_id, category, price, quantity}], kept for refunds by product.
orders = Table(
    "orders",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    _site(),
    _customer(),
    Column("order_id", Text, nullable=False),
    Column("ts", Instant, nullable=False),
    Column("value", BigInteger, nullable=False),
    Column("currency", Text),
    Column("lines", JSONB, nullable=False),
    Column("seq", BigInteger, nullable=False),
    UniqueConstraint("site_id", "order_id"),
    Index("orders_of_customer", "customer_id", "ts"),
)

# Cancellations, refunds and updates; they may come before their order does.
order_change = Table(
    "order_change",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    _site(),
    Column("order_id", Text, nullable=False),
    Column("kind", Text, nullable=False, comment="cancelled, refunded or updated"),
    Column("ts", Instant, nullable=False),
    Column("amount", BigInteger, comment="micros; a refund without amount and lines takes the whole order away"),
    Column("lines", JSONB, comment="refunded lines, or the new ones of an update"),
    Index("order_change_of_order", "site_id", "order_id"),
)

# What rules read for `Order Completed`.
order_value = Table(
    "order_value",
    metadata,
    Column("order_ref", BigInteger, ForeignKey("orders.id", ondelete="CASCADE"), nullable=False, index=True),
    _unchecked_site(),
    _customer(),
    Column("ts", Instant, nullable=False),
    Column("since", Instant, nullable=False),
    Column("until", Instant, nullable=False, server_default=text("'infinity'")),
    Column("value", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Index("order_value_by_customer", "site_id", "customer_id", "ts", postgresql_include=["value", "since", "until"]),
    Index("order_value_by_time", "site_id", "ts", postgresql_include=["customer_id", "value", "since", "until"]),
)

# What rules read for `bought`. The indexes hold what rules mostly ask, so that the lines themselves are seldom read.
_OF_A_LINE = ["amount", "since", "until", "product_id"]
order_line = Table(
    "order_line",
    metadata,
    Column("order_ref", BigInteger, ForeignKey("orders.id", ondelete="CASCADE"), nullable=False, index=True),
    _unchecked_site(),
    _customer(),
    Column("ts", Instant, nullable=False),
    Column("since", Instant, nullable=False),
    Column("until", Instant, nullable=False, server_default=text("'infinity'")),
    Column("product_id", Integer),
    Column("category_id", Integer, comment="null: the catalogue's category counts"),
    Column("quantity", Numeric, nullable=False),
    Column("amount", BigInteger, nullable=False, comment="micros: price × quantity"),
    Column("line", JSONB, nullable=False, comment="the line as it came, for other properties"),
    Index("order_line_by_customer", "site_id", "customer_id", "ts", postgresql_include=["category_id", *_OF_A_LINE]),
    Index("order_line_by_category", "site_id", "category_id", "ts", postgresql_include=["customer_id", *_OF_A_LINE]),
)

# What deleted events were added up to: rules over all time add these rows to the events that are there. Of the events
# of a customer, kind and category there is one row for themselves (property '') and one for each number in them; a
# merge of customers leaves several, which add up.
event_rollup = Table(
    "event_rollup",
    metadata,
    _unchecked_site(),
    Column("kind_id", Integer, nullable=False),
    _customer(),
    Column("category_id", Integer),
    Column("property", Text, nullable=False, comment="'': the events themselves"),
    Column("many", BigInteger, nullable=False, comment="how many events, or numbers"),
    Column("first_at", Instant, nullable=False),
    Column("last_at", Instant, nullable=False),
    Column("total", Numeric),
    Column("least", Numeric),
    Column("greatest", Numeric),
    Index("event_rollup_by_kind", "kind_id", "customer_id"),
    Index("event_rollup_of_customer", "customer_id"),
)

# How far the deletion of a kind of events goes: those from before `before` are gone or going, those from before
# `through` are gone. There is no row while all events of the kind are kept.
event_horizon = Table(
    "event_horizon",
    metadata,
    Column("kind_id", Integer, ForeignKey("term.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    _site(),
    Column("before", Instant, nullable=False),
    Column("through", Instant, nullable=False, server_default=text("'-infinity'")),
    Column("announced_at", Instant, nullable=False, comment="statements from before may not know of it"),
    Index("event_horizon_of_site", "site_id"),
)
