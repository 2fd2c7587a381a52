"""Where Alembic runs the migrations: on the connection that `migrate.upgrade` opened."""

from alembic import context
from execution_orchestrator.adapters.postgres.schema import VERSION_TABLE
from execution_orchestrator.adapters.postgres.tables import metadata
from sqlalchemy import Connection, text

LOCK_KEY = "execution-orchestrator migrations"


def run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata, version_table=VERSION_TABLE)
    with context.begin_transaction():
        # Taken before the version is read, so that of two deployments one waits and then finds nothing to do.
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": LOCK_KEY})
        context.run_migrations()


if context.is_offline_mode():
    raise SystemExit("migrations run online only: python -m execution_orchestrator migrate")
run(context.config.attributes["connection"])
