"""The instants at which conditions turn that no index finds, and the lifespans of the catalogue."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "timed_leaf",
        sa.Column("id", sa.Integer(), sa.Identity(), nullable=False),
        sa.Column("site_id", sa.BigInteger(), nullable=False),
        sa.Column("leaf", sa.Text(), nullable=False, comment="what the condition is known by"),
        sa.Column(
            "filled_to",
            sa.Integer(),
            server_default="-1",
            nullable=True,
            comment="customers up to this id; null: all",
        ),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("site_id", "leaf"),
    )
    op.create_table(
        "customer_turn",
        sa.Column("leaf_id", sa.Integer(), nullable=False),
        sa.Column("customer_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["leaf_id"], ["timed_leaf.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("customer_id", "leaf_id", "at"),
    )
    op.create_index(
        "customer_turn_by_time", "customer_turn", ["leaf_id", "at"], postgresql_include=["customer_id"]
    )
    op.create_index(
        "product_lifespan",
        "product",
        ["site_id", "lifespan_days"],
        postgresql_where=sa.text("lifespan_days is not null"),
    )


def downgrade() -> None:
    op.drop_index("product_lifespan", "product")
    op.drop_table("customer_turn")
    op.drop_table("timed_leaf")
