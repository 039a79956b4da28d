"""Rows that ingest writes need no check of their site, which it has looked up."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TABLES = ("event_body", "order_value", "order_line")


def upgrade() -> None:
    for table in TABLES:
        op.drop_constraint(f"{table}_site_id_fkey", table)


def downgrade() -> None:
    for table in TABLES:
        op.create_foreign_key(f"{table}_site_id_fkey", table, "site", ["site_id"], ["id"], ondelete="CASCADE")
