"""Where Alembic runs the migrations: on the connection that `migrate.upgrade` opened."""

from alembic import context
from sqlalchemy import Connection, text
from workflow_catalog.adapters.postgres.schema import VERSION_TABLE
from workflow_catalog.adapters.postgres.tables import metadata

LOCK_KEY = "workflow-catalog migrations"


def run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata, version_table=VERSION_TABLE)
    with context.begin_transaction():
        # Taken before the version is read, so that of two deployments one waits and then finds nothing to do.
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": LOCK_KEY})
        context.run_migrations()


if context.is_offline_mode():
    raise SystemExit("migrations run online only: python -m workflow_catalog migrate")
run(context.config.attributes["connection"])
