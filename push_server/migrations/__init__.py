"""Alembic's environment and revisions; `upgrade` is what `homing migrate` runs."""

from pathlib import Path

from alembic import command
from alembic.config import Config

from push_server.db import Database

# One migration at a time, however many processes start at once.
_LOCK = 0x686F6D696E67


def upgrade(database: Database) -> None:
    """Bring the schema to the newest revision; waits for another process that is doing so."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    with database.engine.connect() as connection:
        connection.exec_driver_sql(f"select pg_advisory_lock({_LOCK})")
        connection.commit()
        try:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
        finally:
            connection.rollback()
            connection.exec_driver_sql(f"select pg_advisory_unlock({_LOCK})")
            connection.commit()
