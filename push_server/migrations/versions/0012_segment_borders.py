"""Borders of conditions that depend on everyone. Segments without theirs are evaluated whole once more, and find it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "segment_border",
        sa.Column("site_id", sa.BigInteger(), nullable=False),
        sa.Column("leaf", sa.Text(), nullable=False, comment="the condition's key"),
        sa.Column(
            "border",
            postgresql.ARRAY(sa.Numeric()),
            nullable=False,
            comment="members are told by it; null where nobody reaches it",
        ),
        sa.Column("found_at", sa.DateTime(timezone=True), nullable=False, comment="it was the border of this instant"),
        sa.Column("cost_ms", sa.Integer(), nullable=False, comment="what finding it took"),
        sa.Column(
            "is_due",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="something has changed since then",
        ),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("site_id", "leaf"),
    )


def downgrade() -> None:
    op.drop_table("segment_border")
