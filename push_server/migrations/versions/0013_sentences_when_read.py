"""A segment's sentence is made when it is read: in the reader's language, with the names of today."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_column("segment", "sentence")


def downgrade() -> None:
    op.add_column("segment", sa.Column("sentence", sa.String(), nullable=False, server_default=""))
    op.alter_column("segment", "sentence", server_default=None)
