"""How often a delivery's push service asked for another try, and how often its lease ran out."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("retries", "lapses"):
        op.add_column("delivery", sa.Column(name, sa.SmallInteger(), server_default="0", nullable=False))


def downgrade() -> None:
    for name in ("lapses", "retries"):
        op.drop_column("delivery", name)
