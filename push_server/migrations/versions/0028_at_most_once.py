"""Whether a dispatch rather loses a message than risk to post it twice."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("dispatch", sa.Column("at_most_once", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.alter_column("dispatch", "at_most_once", server_default=None)


def downgrade() -> None:
    op.drop_column("dispatch", "at_most_once")
