"""`python -m push_server.migrations.revise "message"`: write a revision from what the models have beyond the database.

Runs on a throw-away embedded PostgreSQL, brought to the newest revision first.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from alembic import command
from alembic.config import Config

from push_server.db import Database
from push_server.embedded.postgres import EmbeddedPostgres
from push_server.migrations import upgrade


def revise(message: str) -> None:
    """Autogenerate a revision."""
    with tempfile.TemporaryDirectory() as directory:
        server = EmbeddedPostgres(Path(directory) / "pg")
        server.prepare()
        start = server.command()
        with subprocess.Popen(start.argv, user=start.user, env=start.env, stderr=subprocess.DEVNULL) as process:
            while not server.ready():
                time.sleep(0.05)
            try:
                database = Database(server.url)
                upgrade(database)
                config = Config()
                config.set_main_option("script_location", str(Path(__file__).parent))
                with database.engine.connect() as connection:
                    config.attributes["connection"] = connection
                    count = len(list((Path(__file__).parent / "versions").glob("*.py")))
                    command.revision(config, message, autogenerate=True, rev_id=f"{count + 1:04d}")
                database.engine.dispose()
            finally:
                process.terminate()


if __name__ == "__main__":
    revise(sys.argv[1])
