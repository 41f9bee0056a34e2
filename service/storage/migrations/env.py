"""What Alembic runs for each command: on the connection it is handed, in that transaction."""

from alembic import context

from service.storage.all_tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table="charter_service_version",
    # SQLite too can undo half a migration: our transactions begin by themselves.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
