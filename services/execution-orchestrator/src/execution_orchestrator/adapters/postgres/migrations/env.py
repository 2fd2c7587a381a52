"""Where Alembic runs the migrations: on the connection that `service_kit.data.migrations.upgrade` opened."""

from alembic import context
from execution_orchestrator.adapters.postgres.schema import VERSION_TABLE
from execution_orchestrator.adapters.postgres.tables import metadata
from service_kit.data.migrations import run

if context.is_offline_mode():
    raise SystemExit("migrations run online only: python -m execution_orchestrator migrate")
run(context.config.attributes["connection"], metadata, version_table=VERSION_TABLE)
