"""Sequences, which Alembic does not generate from the models."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("create sequence customer_seq")
    op.execute("create sequence event_seq increment by 1024")


def downgrade() -> None:
    op.execute("drop sequence event_seq")
    op.execute("drop sequence customer_seq")
