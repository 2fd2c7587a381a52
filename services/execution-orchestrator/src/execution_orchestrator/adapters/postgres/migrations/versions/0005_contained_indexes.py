"""The indexes of migration 0004, built while others write."""

from alembic import context
from service_kit.data.concurrent_index import create_index_concurrently

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    contained = context.script.get_revision("0004")
    assert contained is not None
    for statement in contained.module.INDEXES:
        create_index_concurrently(statement)


def downgrade() -> None:
    raise NotImplementedError("migrations go forwards only: restore a backup to go back")
