"""What the engine needs to contain faults: columns, tables, and the row types that write them."""

from alembic import op
from sqlalchemy import text

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

CHANGES: tuple[str, ...] = (
    "ALTER TABLE task_runs ADD COLUMN claim_token bytea",
    "ALTER TABLE executions ADD COLUMN quarantine json",
    # Sizes of payloads, so that nobody has to read them to know how large they are.
    "ALTER TABLE executions ADD COLUMN output_bytes integer NOT NULL DEFAULT 0",
    "ALTER TABLE task_runs ADD COLUMN input_bytes integer NOT NULL DEFAULT 0, "
    "ADD COLUMN output_bytes bigint NOT NULL DEFAULT 0",
    """
    CREATE TABLE worker_boots (
        namespace text NOT NULL,
        boot_id text NOT NULL,
        worker_id text NOT NULL,
        lease_expire_time timestamptz NOT NULL,
        reap_time timestamptz,
        PRIMARY KEY (namespace, boot_id)
    ) WITH (fillfactor = 50)
    """,
    "COMMENT ON TABLE worker_boots IS "
    "'The leases of worker processes: each covers the confirmed claims of its process.'",
    # Each replica changes its row every second: room for the next version on the same page keeps it small.
    """
    CREATE TABLE orchestrators (
        replica_id uuid PRIMARY KEY,
        seen_time timestamptz NOT NULL,
        stopped boolean NOT NULL
    ) WITH (fillfactor = 50)
    """,
    "COMMENT ON TABLE orchestrators IS "
    "'The replicas of the engine, which say every second that they are there.'",
    # The release before did not say when it served. It may have stopped for this migration.
    """
    INSERT INTO orchestrators
    SELECT gen_random_uuid(), clock_timestamp(), true WHERE EXISTS (SELECT FROM executions)
    """,
    "CREATE TABLE outages (start_time timestamptz PRIMARY KEY, end_time timestamptz NOT NULL)",
    "COMMENT ON TABLE outages IS "
    "'When no replica could serve. This time does not count against schedule_to_start.'",
)

# On tables that grow: migration 0005 builds them while others write.
INDEXES: tuple[str, ...] = (
    "CREATE INDEX task_runs_by_boot ON task_runs (boot_id, execution_id, task_id, item) "
    "WHERE status = 'RUNNING' AND boot_id IS NOT NULL AND lease_expire_time IS NULL",
    "CREATE INDEX executions_quarantined ON executions (namespace, id) WHERE quarantine IS NOT NULL",
    "CREATE INDEX request_ids_by_create_time ON request_ids (create_time)",
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
