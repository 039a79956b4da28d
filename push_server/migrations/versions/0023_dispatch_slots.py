"""The places that a throttled dispatch has taken."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "dispatch", sa.Column("slots", postgresql.JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False)
    )
    op.alter_column("dispatch", "slots", server_default=None)


def downgrade() -> None:
    op.drop_column("dispatch", "slots")
