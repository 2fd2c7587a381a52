"""What the engine needs to contain faults: columns, tables, and the row types that write them."""

from alembic import op
from sqlalchemy import text

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

CHANGES: tuple[str, ...] = (
    # Sizes of payloads, so that nobody has to read them to know how large they are.
    "ALTER TABLE executions ADD COLUMN output_bytes integer NOT NULL DEFAULT 0",
    "ALTER TABLE task_runs ADD COLUMN input_bytes integer NOT NULL DEFAULT 0, "
    "ADD COLUMN output_bytes bigint NOT NULL DEFAULT 0",
)

# The types of 0002 stay for the release that writes with them.
ROW_TYPES = {
    "execution_row_2": "executions",
    "task_run_row_2": "task_runs",
    "attempt_row_2": "attempts",
    "execution_event_row_2": "execution_events",
}


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
