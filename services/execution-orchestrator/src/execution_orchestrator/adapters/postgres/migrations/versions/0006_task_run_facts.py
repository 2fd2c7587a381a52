"""When a task run began to wait for its worker, and to which run of the execution it and its attempts belong.

A column with a constant default, or with none, changes no row: the table is not written anew. Rows of earlier
releases belong to run 1, and do not know since when they waited.
"""

from alembic import op
from sqlalchemy import text

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

CHANGES: tuple[str, ...] = (
    # `ready_time` is null again once a worker has the task, as its index holds what waits and nothing else.
    "ALTER TABLE task_runs ADD COLUMN last_ready_time timestamptz, "
    "ADD COLUMN run_number integer NOT NULL DEFAULT 1",
    "ALTER TABLE attempts ADD COLUMN run_number integer NOT NULL DEFAULT 1",
)

# The types of 0004 stay for the release that writes with them.
ROW_TYPES = {"task_run_row_3": "task_runs", "attempt_row_3": "attempts"}


def upgrade() -> None:
    for statement in CHANGES:
        op.execute(statement)
    for row_type, table in ROW_TYPES.items():
        op.execute(f"CREATE TYPE {row_type} AS ({_columns_of(table)})")


def _columns_of(table: str) -> str:
    """Every column with its type, as the table has them now; `progress` is written by heartbeats alone."""
    sql = (
        "SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum) "
        f"FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped "
        "AND attname <> 'progress'"
    )
    return str(op.get_bind().execute(text(sql)).scalar_one())


def downgrade() -> None:
    raise NotImplementedError("migrations go forwards only: restore a backup to go back")
