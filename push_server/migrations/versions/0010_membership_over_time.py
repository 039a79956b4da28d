"""Since when a segment's members are those of its rule; its changes by customer.

Members whom nobody told of yet came when `since` says; segments from before count as being of their rule since now.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("segment", sa.Column("rule_since", sa.DateTime(timezone=True), nullable=True))
    op.execute("update segment set rule_since = now() where state = 'ready'")
    op.execute(
        "insert into membership_change (segment_id, customer_id, at, entered)"
        " select segment_id, customer_id, since, true from segment_member m where not exists"
        " (select 1 from membership_change c where c.segment_id = m.segment_id and c.customer_id = m.customer_id)"
    )
    op.create_index(
        "membership_change_of_member",
        "membership_change",
        ["segment_id", "customer_id", sa.literal_column("at DESC"), sa.literal_column("id DESC")],
        postgresql_include=["entered"],
    )


def downgrade() -> None:
    op.drop_index("membership_change_of_member", "membership_change")
    op.drop_column("segment", "rule_since")
