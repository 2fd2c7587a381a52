"""Executions, task runs, attempts, events; request ids, definitions, task types."""

from alembic import op
from sqlalchemy import text

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = (
    """
    CREATE TABLE executions (
        id uuid PRIMARY KEY,
        namespace text NOT NULL,
        workflow_id text NOT NULL,
        version integer NOT NULL,
        status text NOT NULL,
        paused_from text,
        state_version bigint NOT NULL,
        last_sequence bigint NOT NULL,
        run_number integer NOT NULL,
        final boolean NOT NULL,
        labels jsonb NOT NULL,
        input json,
        output json,
        failure json,
        pause json,
        cancel_requested boolean NOT NULL,
        cancel_deadline timestamptz,
        cancel_reason text,
        create_time timestamptz NOT NULL,
        start_time timestamptz,
        end_time timestamptz,
        timeout_time timestamptz,
        timeout_remaining interval,
        wake_time timestamptz,
        tasks_total integer NOT NULL,
        tasks_open integer NOT NULL,
        tasks_running integer NOT NULL,
        tasks_succeeded integer NOT NULL,
        tasks_failed integer NOT NULL,
        tasks_cancelled integer NOT NULL,
        tasks_skipped integer NOT NULL
    ) PARTITION BY RANGE (id)
    """,
    """
    CREATE TABLE task_runs (
        execution_id uuid NOT NULL,
        task_id text NOT NULL,
        item integer NOT NULL,
        namespace text NOT NULL,
        status text NOT NULL,
        task_type text NOT NULL,
        queue text NOT NULL,
        unmet_needs integer NOT NULL,
        attempt integer NOT NULL,
        failed_attempts integer NOT NULL,
        lost_attempts integer NOT NULL,
        epoch bigint NOT NULL,
        worker_id text,
        boot_id text,
        ready_time timestamptz,
        lease_expire_time timestamptz,
        close_time timestamptz,
        heartbeat_timeout interval,
        silence_time timestamptz,
        wake_time timestamptz,
        frozen interval,
        start_time timestamptz,
        end_time timestamptz,
        items_open integer NOT NULL,
        next_item integer NOT NULL,
        input json,
        output json,
        failure json,
        progress json,
        PRIMARY KEY (execution_id, task_id, item)
    ) PARTITION BY RANGE (execution_id)
    """,
    """
    CREATE TABLE attempts (
        execution_id uuid NOT NULL,
        task_id text NOT NULL,
        item integer NOT NULL,
        epoch bigint NOT NULL,
        namespace text NOT NULL,
        attempt integer NOT NULL,
        status text NOT NULL,
        worker_id text,
        start_time timestamptz,
        end_time timestamptz,
        failure json,
        PRIMARY KEY (execution_id, task_id, item, epoch)
    ) PARTITION BY RANGE (execution_id)
    """,
    """
    CREATE TABLE execution_events (
        execution_id uuid NOT NULL,
        sequence bigint NOT NULL,
        namespace text NOT NULL,
        type text NOT NULL,
        status text NOT NULL,
        time timestamptz NOT NULL,
        task_id text,
        item integer,
        attempt integer,
        worker_id text,
        counts integer[] NOT NULL,
        details json,
        PRIMARY KEY (execution_id, sequence)
    ) PARTITION BY RANGE (execution_id)
    """,
    """
    CREATE TABLE request_ids (
        namespace text NOT NULL,
        request_id text NOT NULL,
        request_hash bytea NOT NULL,
        execution_id uuid NOT NULL,
        create_time timestamptz NOT NULL,
        PRIMARY KEY (namespace, request_id)
    )
    """,
    """
    CREATE TABLE definitions (
        namespace text NOT NULL,
        workflow_id text NOT NULL,
        version integer NOT NULL,
        definition bytea NOT NULL,
        PRIMARY KEY (namespace, workflow_id, version)
    )
    """,
    """
    CREATE TABLE task_types (
        namespace text NOT NULL,
        task_type text NOT NULL,
        first_seen_time timestamptz NOT NULL,
        PRIMARY KEY (namespace, task_type)
    )
    """,
)

COMMENTS = {
    "attempts": "Attempts that did not become their task''s last word; that one stands in task_runs.",
    "definitions": (
        "The versions that executions run on, so that what was accepted never waits for the catalog."
    ),
    "task_types": "Every task type that a worker ever offered.",
}

COMPRESSED = {  # what can grow past 2 KiB
    "executions": ("input", "output", "failure"),
    "task_runs": ("input", "output", "failure", "progress"),
    "attempts": ("failure",),
    "execution_events": ("details",),
    "definitions": ("definition",),
}

# Rows that change several times in their life get room on their page (HOT updates leave indexes alone),
# and are vacuumed by a small share of the table: at ten million rows the default of 20 % comes too late.
UPDATED = (
    "fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, "
    "autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0"
)
APPENDED = "autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02"
PARTITIONS = {
    "executions": UPDATED,
    "task_runs": UPDATED,
    "attempts": APPENDED,
    "execution_events": APPENDED,
}

INDEXES = (
    "CREATE INDEX executions_by_namespace ON executions (namespace, id)",
    "CREATE INDEX executions_by_workflow ON executions (namespace, workflow_id, id)",
    "CREATE INDEX executions_by_wake_time ON executions (wake_time) WHERE wake_time IS NOT NULL",
    "CREATE INDEX task_runs_by_wake_time ON task_runs (wake_time) WHERE wake_time IS NOT NULL",
    "CREATE INDEX task_runs_by_ready_time ON task_runs (ready_time) WHERE ready_time IS NOT NULL",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    for table, comment in COMMENTS.items():
        op.execute(f"COMMENT ON TABLE {table} IS '{comment}'")
    if _server_has_lz4():  # several times faster than pglz; partitions made later take it over
        for table, columns in COMPRESSED.items():
            actions = ", ".join(f"ALTER COLUMN {column} SET COMPRESSION lz4" for column in columns)
            op.execute(f"ALTER TABLE {table} {actions}")
    for table, parameters in PARTITIONS.items():
        op.execute(f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT WITH ({parameters})")
    for statement in INDEXES:
        op.execute(statement)


def _server_has_lz4() -> bool:
    sql = "SELECT 'lz4' = ANY(enumvals) FROM pg_settings WHERE name = 'default_toast_compression'"
    return bool(op.get_bind().execute(text(sql)).scalar())


def downgrade() -> None:
    raise NotImplementedError("migrations go forwards only: restore a backup to go back")
