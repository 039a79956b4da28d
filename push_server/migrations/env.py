"""What Alembic runs: always on a connection that the caller hands over."""

from alembic import context

from push_server.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, compare_type=True)
with context.begin_transaction():
    context.run_migrations()
