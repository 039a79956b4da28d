"""What was planned and has no job yet, by when it is due; the hour that is best for a dispatch's audience."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("dispatch", sa.Column("best_hour", sa.SmallInteger()))
    op.create_index(
        "delivery_planned",
        "delivery",
        ["dispatch_id", "due_at"],
        postgresql_where=sa.text("state = 'queued' and due_at <= not_before"),
    )


def downgrade() -> None:
    op.drop_index("delivery_planned", "delivery")
    op.drop_column("dispatch", "best_hour")
