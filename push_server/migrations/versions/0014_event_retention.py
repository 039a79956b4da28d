"""What deleted events were added up to, and how far deletion goes.

Messages that left nothing but themselves (identify, alias, an order sent twice) kept what they said: nobody finds it
when their customer is erased, so it is taken out.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "event_rollup",
        sa.Column("site_id", sa.BigInteger(), nullable=False),
        sa.Column("kind_id", sa.Integer(), nullable=False),
        sa.Column("customer_id", sa.Integer(), nullable=False),
        sa.Column("category_id", sa.Integer()),
        sa.Column("property", sa.Text(), nullable=False, comment="'': the events themselves"),
        sa.Column("many", sa.BigInteger(), nullable=False, comment="how many events, or numbers"),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("total", sa.Numeric()),
        sa.Column("least", sa.Numeric()),
        sa.Column("greatest", sa.Numeric()),
    )
    op.create_index("event_rollup_by_kind", "event_rollup", ["kind_id", "customer_id"])
    op.create_index("event_rollup_of_customer", "event_rollup", ["customer_id"])
    op.create_table(
        "event_horizon",
        sa.Column(
            "kind_id",
            sa.Integer(),
            sa.ForeignKey("term.id", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("site_id", sa.BigInteger(), sa.ForeignKey("site.id", ondelete="CASCADE"), nullable=False),
        sa.Column("before", sa.DateTime(timezone=True), nullable=False),
        sa.Column("through", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("'-infinity'")),
        sa.Column(
            "announced_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="statements from before may not know of it",
        ),
    )
    op.create_index("event_horizon_of_site", "event_horizon", ["site_id"])
    op.execute(
        "update event_body b set message_id = replace(message_key::text, '-', ''), properties = '{}', context = null"
        " where (properties <> '{}' or context is not null or message_id <> replace(message_key::text, '-', ''))"
        " and not exists (select 1 from event e where e.seq = b.seq)"
        " and not exists (select 1 from orders o where o.seq = b.seq)"
        " and not exists (select 1 from order_change c where c.seq = b.seq)"
    )


def downgrade() -> None:
    op.drop_table("event_horizon")
    op.drop_table("event_rollup")
