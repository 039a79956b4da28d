"""What frequency caps ask of a message and of what its customers got."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("dispatch", sa.Column("message_class", sa.Text(), server_default="marketing", nullable=False))
    op.add_column("dispatch", sa.Column("priority", sa.SmallInteger(), server_default="500"))
    for name in ("message_class", "priority"):
        op.alter_column("dispatch", name, server_default=None)
    op.drop_index("delivery_of_customer", table_name="delivery")
    op.create_index("delivery_of_customer", "delivery", ["customer_id", "accepted_at"])


def downgrade() -> None:
    op.drop_index("delivery_of_customer", table_name="delivery")
    op.create_index("delivery_of_customer", "delivery", ["customer_id"])
    for name in ("priority", "message_class"):
        op.drop_column("dispatch", name)
