"""What customers are worth by the measures of ranks and scores, in order, so that borders are found by small steps."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "worth_measure",
        sa.Column("id", sa.Integer(), sa.Identity(), nullable=False),
        sa.Column("site_id", sa.BigInteger(), nullable=False),
        sa.Column("measure", sa.Text(), nullable=False, comment="what it is known by"),
        sa.Column(
            "filled_to",
            sa.Integer(),
            server_default="-1",
            nullable=True,
            comment="customers up to this id; null: all",
        ),
        sa.Column(
            "ranked",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="customers there are, once it is filled",
        ),
        sa.Column(
            "worthy", sa.Integer(), server_default="0", nullable=False, comment="those of them who have a worth"
        ),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("site_id", "measure"),
    )
    op.create_table(
        "customer_worth",
        sa.Column("measure_id", sa.Integer(), nullable=False),
        sa.Column("customer_id", sa.Integer(), nullable=False),
        sa.Column("worth", sa.Numeric(), nullable=True, comment="null: ranked behind everyone who has one"),
        sa.ForeignKeyConstraint(["measure_id"], ["worth_measure.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("measure_id", "customer_id"),
    )
    op.create_index(
        "customer_worth_in_order", "customer_worth", ["measure_id", "worth"], postgresql_include=["customer_id"]
    )
    op.create_table(
        "worth_place",
        sa.Column("measure_id", sa.Integer(), nullable=False),
        sa.Column("share", sa.Numeric(), nullable=False),
        sa.Column(
            "is_from_best",
            sa.Boolean(),
            nullable=False,
            comment="of everyone ranked; else of those who have a worth",
        ),
        sa.Column("worth", sa.Numeric(), nullable=False),
        sa.Column("below", sa.Integer(), nullable=False),
        sa.Column("upto", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["measure_id"], ["worth_measure.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("measure_id", "share", "is_from_best"),
    )


def downgrade() -> None:
    op.drop_table("worth_place")
    op.drop_table("customer_worth")
    op.drop_table("worth_measure")
