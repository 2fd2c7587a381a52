"""The revision of the database that this release needs."""

from pathlib import Path

from service_kit.data.schema_revision import Schema, newest_revision

VERSION_TABLE = "alembic_version_orchestrator"
"""Each service has its own, because services may share a database."""

SCHEMA = Schema(
    VERSION_TABLE,
    newest_revision(Path(__file__).with_name("migrations") / "versions"),
    "python -m execution_orchestrator migrate",
)
