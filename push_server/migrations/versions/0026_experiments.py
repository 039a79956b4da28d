"""Which variant of a dispatch was found to be the best, and how."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("dispatch", sa.Column("winner", sa.SmallInteger()))
    op.add_column("dispatch", sa.Column("decided_at", sa.DateTime(timezone=True)))
    op.add_column("dispatch", sa.Column("is_certain", sa.Boolean()))


def downgrade() -> None:
    for name in ("is_certain", "decided_at", "winner"):
        op.drop_column("dispatch", name)
