"""A customer's deliveries by the instant by which frequency caps count them, so that those that ended are not read."""

from alembic import op
from sqlalchemy import text

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

_COUNTED = "coalesce(accepted_at, case when state in ('queued', 'sending', 'retry') then 'infinity'::timestamptz end)"


def upgrade() -> None:
    op.drop_index("delivery_of_customer", table_name="delivery")
    op.create_index("delivery_of_customer", "delivery", ["customer_id", text(f"({_COUNTED})")])


def downgrade() -> None:
    op.drop_index("delivery_of_customer", table_name="delivery")
    op.create_index("delivery_of_customer", "delivery", ["customer_id", "accepted_at"])
