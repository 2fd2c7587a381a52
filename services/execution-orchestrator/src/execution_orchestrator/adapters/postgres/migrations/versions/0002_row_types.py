"""What the write path sends: arrays of rows, which cost half of an array for each column."""

from alembic import op
from sqlalchemy import text

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# A type never changes: a release that writes more columns makes another one, so that the release before
# goes on writing with its own.
ROW_TYPES = {
    "execution_row": "executions",
    "task_run_row": "task_runs",
    "attempt_row": "attempts",
    "execution_event_row": "execution_events",
}


def upgrade() -> None:
    for row_type, table in ROW_TYPES.items():
        op.execute(f"CREATE TYPE {row_type} AS ({_columns_of(table)})")


def _columns_of(table: str) -> str:
    """Every column with its type, as the table has them now; `progress` is written by heartbeats alone."""
    sql = (
        "SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum) "
        f"FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0 AND attname <> 'progress'"
    )
    return str(op.get_bind().execute(text(sql)).scalar_one())


def downgrade() -> None:
    raise NotImplementedError("migrations go forwards only: restore a backup to go back")
