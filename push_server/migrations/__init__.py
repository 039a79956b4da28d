"""Alembic's environment and revisions; `upgrade` is what `homing migrate` runs."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from push_server.db import Database
from push_server.errors import StartupError

# One migration at a time, however many processes start at once.
_LOCK = 0x686F6D696E67


def upgrade(database: Database) -> None:
    """Bring the schema to the newest revision; waits for another process that is doing so.

    StartupError when a newer version has been here already.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    with database.engine.connect() as connection:
        connection.exec_driver_sql(f"select pg_advisory_lock({_LOCK})")
        connection.commit()
        try:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
        except CommandError as error:
            raise StartupError(
                f"The database's schema is of a newer version of Homing ({error}). Start that version.",
                code="schema_newer",
            ) from None
        finally:
            connection.rollback()
            connection.exec_driver_sql(f"select pg_advisory_unlock({_LOCK})")
            connection.commit()
