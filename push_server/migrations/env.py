"""What Alembic runs: always on a connection that the caller hands over."""

import re
from typing import Any

from alembic import context

from push_server.tables import metadata


def _is_compared(name: str | None, type_: str, _parents: Any) -> bool:
    """The tables that `event` consists of come and go by themselves."""
    return type_ != "table" or re.fullmatch(r"event_(\d{4}|older|default)", name or "") is None


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    compare_type=True,
    include_name=_is_compared,
)
with context.begin_transaction():
    context.run_migrations()
