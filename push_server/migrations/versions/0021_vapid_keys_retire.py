"""VAPID keys retire, and how many subscriptions each still has is counted by an index."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("vapid_key", sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True))
    op.alter_column("vapid_key", "private_key", existing_type=sa.LargeBinary(), nullable=True)
    op.create_index(
        "subscription_of_vapid_key", "subscription", ["vapid_key_id"], postgresql_where=sa.text("state = 'active'")
    )


def downgrade() -> None:
    op.drop_index("subscription_of_vapid_key", table_name="subscription")
    op.execute("update vapid_key set private_key = '' where private_key is null")
    op.alter_column("vapid_key", "private_key", existing_type=sa.LargeBinary(), nullable=False)
    op.drop_column("vapid_key", "retired_at")
