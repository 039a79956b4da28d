"""`event` in one table a year.

A table with rows becomes the part for everything until the end of this year as it is, with its indexes; its rows are
read once meanwhile, to see that none of them is of later, and nobody can read or write events for that long.
"""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_KEYS = {
    "event_by_customer": (["kind_id", "customer_id", "ts"], ["value", "category_id"]),
    "event_by_time": (["kind_id", "ts"], ["customer_id", "value", "category_id"]),
}


def upgrade() -> None:
    op.rename_table("event", "event_older")
    for name in _KEYS:
        op.execute(f"alter index {name} rename to {name.replace('event_', 'event_older_')}")
    op.execute("create table event (like event_older including comments) partition by range (ts)")
    _create_indexes()
    year = datetime.now(UTC).year
    filled = op.get_bind().execute(sa.text("select exists (select 1 from event_older)")).scalar_one()
    first = year + 1 if filled else year - 1
    op.execute("create table event_default partition of event default")
    for each in range(first, year + 2):
        op.execute(
            f"create table event_{each} partition of event"
            f" for values from ('{each}-01-01 00:00:00+00') to ('{each + 1}-01-01 00:00:00+00')"
        )
    if filled:
        op.execute(
            "with late as (delete from event_older where kind_id in (select id from term where what = 'event')"
            f" and ts >= '{first}-01-01 00:00:00+00' returning *) insert into event select * from late"
        )
    op.execute(
        f"alter table event attach partition event_older for values from (minvalue) to ('{first}-01-01 00:00:00+00')"
    )


def downgrade() -> None:
    op.rename_table("event", "event_by_year")
    for name in _KEYS:
        op.drop_index(name, "event_by_year")
    op.execute("create table event (like event_by_year including comments)")
    op.execute("insert into event select * from event_by_year")
    op.drop_table("event_by_year")
    _create_indexes()


def _create_indexes() -> None:
    for name, (columns, included) in _KEYS.items():
        op.create_index(name, "event", columns, postgresql_include=included)
