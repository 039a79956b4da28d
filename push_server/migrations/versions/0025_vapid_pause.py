"""Push services that reject a site's VAPID key, and under it are posted nothing."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "vapid_pause",
        sa.Column("site_id", sa.BigInteger(), nullable=False),
        sa.Column("vapid_key_id", sa.BigInteger(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("probe_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("rejected", sa.Integer(), nullable=False),
        sa.Column("status_code", sa.SmallInteger(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["vapid_key_id"], ["vapid_key.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("site_id", "vapid_key_id", "origin"),
    )


def downgrade() -> None:
    op.drop_table("vapid_pause")
