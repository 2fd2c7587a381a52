"""Let Alembic run the migrations on the connection that `service_kit.data.migrations.upgrade` opened."""

from alembic import context
from service_kit.data.migrations import run
from workflow_catalog.adapters.postgres.schema import VERSION_TABLE
from workflow_catalog.adapters.postgres.tables import metadata

if context.is_offline_mode():
    raise SystemExit("migrations run online only: python -m workflow_catalog migrate")
run(context.config.attributes["connection"], metadata, version_table=VERSION_TABLE)
