"""Campaigns that are scheduled, paused and cancelled, and the dispatches that this stops."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
CAMPAIGN = ("next_at", "paused_at", "cancelled_at")
DISPATCH = ("planned_at", "paused_at", "resumed_at", "cancelled_at")


def upgrade() -> None:
    for name in CAMPAIGN:
        op.add_column("campaign", sa.Column(name, INSTANT, nullable=True))
    op.add_column("campaign", sa.Column("problem", sa.Text(), nullable=True))
    op.create_index("campaign_due", "campaign", ["next_at"], postgresql_where=sa.text("next_at is not null"))
    for name in DISPATCH:
        op.add_column("dispatch", sa.Column(name, INSTANT, nullable=True))


def downgrade() -> None:
    for name in DISPATCH:
        op.drop_column("dispatch", name)
    op.drop_index("campaign_due", "campaign")
    op.drop_column("campaign", "problem")
    for name in CAMPAIGN:
        op.drop_column("campaign", name)
