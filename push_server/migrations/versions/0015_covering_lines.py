"""Rules about what was bought are answered by the indexes of the lines alone."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

KEYS = {
    "order_line_by_customer": (["site_id", "customer_id", "ts"], "category_id"),
    "order_line_by_category": (["site_id", "category_id", "ts"], "customer_id"),
}


def upgrade() -> None:
    _make(["amount", "since", "until", "product_id"])


def downgrade() -> None:
    _make(["amount"])


def _make(more: list[str]) -> None:
    for name, (keys, other) in KEYS.items():
        op.drop_index(name, table_name="order_line")
        op.create_index(name, "order_line", keys, postgresql_include=[other, *more])
