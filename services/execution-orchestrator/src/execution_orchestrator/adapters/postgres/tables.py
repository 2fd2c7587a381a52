"""The schema. Postgres holds every fact, and everything in Redis can be rebuilt from it.

Payloads are `json`, not `jsonb`: the bytes are stored as they came and are never parsed on the hot path.
Tables that grow are partitioned on the UUIDv7 execution id, which begins with the time, so that retention can
drop whole partitions. The first migration creates one default partition of each.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, INTERVAL, JSON, JSONB

metadata = MetaData()

NO_ITEM = -1
"""The `item` of a task run that is not an item of a fan-out. It is part of the primary key, so not null."""


def _time(name: str, *, nullable: bool = True) -> Column[Any]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


executions = Table(
    "executions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("namespace", Text, nullable=False),
    Column("workflow_id", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("paused_from", Text),  # the status to which a resume returns
    Column("state_version", BigInteger, nullable=False),
    Column("last_sequence", BigInteger, nullable=False),
    Column("run_number", Integer, nullable=False),
    Column("final", Boolean, nullable=False),
    Column("labels", JSONB, nullable=False),
    Column("input", JSON),
    Column("output", JSON),
    Column("failure", JSON),
    Column("pause", JSON),  # mode, clock_policy, reason, actor, pause_time, quiesced_time
    Column("cancel_requested", Boolean, nullable=False),
    _time("cancel_deadline"),
    Column("cancel_reason", Text),
    _time("create_time", nullable=False),
    _time("start_time"),
    _time("end_time"),
    _time("timeout_time"),
    Column("timeout_remaining", INTERVAL),  # of an execution that is paused or quarantined
    _time("wake_time"),  # the next of timeout_time and cancel_deadline; null when final
    Column("tasks_total", Integer, nullable=False),
    Column("tasks_open", Integer, nullable=False),  # not final
    Column("tasks_running", Integer, nullable=False),  # a worker has them
    Column("tasks_succeeded", Integer, nullable=False),
    Column("tasks_failed", Integer, nullable=False),
    Column("tasks_cancelled", Integer, nullable=False),
    Column("tasks_skipped", Integer, nullable=False),
    Column("quarantine", JSON),  # quarantine_time, reason, tries
    Column("output_bytes", Integer, nullable=False, server_default="0"),  # 0: none, or of an earlier release
    Index("executions_by_namespace", "namespace", "id"),
    Index("executions_by_workflow", "namespace", "workflow_id", "id"),
    Index("executions_by_wake_time", "wake_time", postgresql_where=text("wake_time IS NOT NULL")),
    Index(
        "executions_in_flight", "namespace", "workflow_id", "version", postgresql_where=text("NOT final")
    ),  # see its migration before adding a column
    Index(
        "executions_quarantined", "namespace", "id", postgresql_where=text("quarantine IS NOT NULL")
    ),  # nearly no row is in it, so it costs the others nothing
    postgresql_partition_by="RANGE (id)",
)

task_runs = Table(
    "task_runs",
    metadata,
    Column("execution_id", Uuid, nullable=False),
    Column("task_id", Text, nullable=False),
    Column("item", Integer, nullable=False),
    Column("namespace", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("task_type", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("unmet_needs", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("failed_attempts", Integer, nullable=False),  # charged to the retry policy
    Column("lost_attempts", Integer, nullable=False),  # charged to the budget of lost workers
    Column("epoch", BigInteger, nullable=False),  # grows with every claim and every revoke, and never shrinks
    Column("worker_id", Text),
    Column("boot_id", Text),
    _time("ready_time"),  # set while, and only while, the task may be in the queue
    _time("lease_expire_time"),  # of a claim that no heartbeat has confirmed; see worker_boots
    _time("close_time"),  # when the attempt's start_to_close is over
    Column("heartbeat_timeout", INTERVAL),
    _time("silence_time"),  # when the attempt's heartbeat timeout is over
    _time("wake_time"),  # when a timer must act on the task; null if nothing can become due
    Column("frozen", INTERVAL),  # the time that was left until wake_time at the pause or quarantine
    _time("start_time"),
    _time("end_time"),
    Column("items_open", Integer, nullable=False),  # of a fan-out
    Column("next_item", Integer, nullable=False),  # of a fan-out: the next item to get its turn
    Column("input", JSON),  # null: the execution's input
    Column("output", JSON),
    Column("failure", JSON),
    Column("progress", JSON),
    Column("claim_token", BYTEA),  # the secret of the last claim; never shown
    Column("input_bytes", Integer, nullable=False, server_default="0"),  # 0: none, or of an earlier release
    Column(
        "output_bytes", BigInteger, nullable=False, server_default="0"
    ),  # of a fan-out: the sum of its items so far
    _time("last_ready_time"),  # like ready_time, but it stays when a worker claims the task
    Column("run_number", Integer, nullable=False, server_default="1"),  # of the execution
    PrimaryKeyConstraint("execution_id", "task_id", "item"),
    Index("task_runs_by_wake_time", "wake_time", postgresql_where=text("wake_time IS NOT NULL")),
    Index("task_runs_by_ready_time", "ready_time", postgresql_where=text("ready_time IS NOT NULL")),
    Index(
        "task_runs_by_boot",
        "boot_id",
        "execution_id",
        "task_id",
        "item",
        postgresql_where=text("status = 'RUNNING' AND boot_id IS NOT NULL AND lease_expire_time IS NULL"),
    ),  # the confirmed claims of a worker process; a claim that ends before it is confirmed has no entry
    postgresql_partition_by="RANGE (execution_id)",
)

attempts = Table(
    "attempts",
    metadata,
    Column("execution_id", Uuid, nullable=False),
    Column("task_id", Text, nullable=False),
    Column("item", Integer, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("namespace", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("worker_id", Text),
    _time("start_time"),
    _time("end_time"),
    Column("failure", JSON),
    Column("run_number", Integer, nullable=False, server_default="1"),
    PrimaryKeyConstraint("execution_id", "task_id", "item", "epoch"),
    postgresql_partition_by="RANGE (execution_id)",
    comment="Attempts that did not become their task's last word; that one stands in task_runs.",
)

execution_events = Table(
    "execution_events",
    metadata,
    Column("execution_id", Uuid, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("namespace", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("status", Text, nullable=False),
    _time("time", nullable=False),
    Column("task_id", Text),
    Column("item", Integer),
    Column("attempt", Integer),
    Column("worker_id", Text),
    Column("counts", ARRAY(Integer), nullable=False),  # total, running, succeeded, failed, cancelled, skipped
    Column("details", JSON),  # failure, next_attempt_time, reason, item_count; run_number if it is not 1
    PrimaryKeyConstraint("execution_id", "sequence"),
    postgresql_partition_by="RANGE (execution_id)",
)

worker_boots = Table(
    "worker_boots",
    metadata,
    Column("namespace", Text, nullable=False),
    Column("boot_id", Text, nullable=False),
    Column("worker_id", Text, nullable=False),
    _time("lease_expire_time", nullable=False),
    _time("reap_time"),  # when a replica last began to lose its claims; null while it may have claims
    PrimaryKeyConstraint("namespace", "boot_id"),
    comment="The leases of worker processes: each covers the confirmed claims of its process.",
)

request_ids = Table(
    "request_ids",
    metadata,
    Column("namespace", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("request_hash", BYTEA, nullable=False),
    Column("execution_id", Uuid, nullable=False),
    _time("create_time", nullable=False),
    PrimaryKeyConstraint("namespace", "request_id"),
    Index("request_ids_by_create_time", "create_time"),
)

orchestrators = Table(
    "orchestrators",
    metadata,
    Column("replica_id", Uuid, primary_key=True),
    _time("seen_time", nullable=False),
    Column("stopped", Boolean, nullable=False),  # by a shutdown; otherwise it is away if it reports no more
    comment="The replicas of the engine, which say every second that they are there.",
)

outages = Table(
    "outages",
    metadata,
    _time("start_time", nullable=False),
    _time("end_time", nullable=False),
    PrimaryKeyConstraint("start_time"),
    comment="When no replica could serve. This time does not count against schedule_to_start.",
)

definitions = Table(
    "definitions",
    metadata,
    Column("namespace", Text, nullable=False),
    Column("workflow_id", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("definition", BYTEA, nullable=False),
    PrimaryKeyConstraint("namespace", "workflow_id", "version"),
    comment="The versions that executions run on, so that what was accepted never waits for the catalog.",
)

task_types = Table(
    "task_types",
    metadata,
    Column("namespace", Text, nullable=False),
    Column("task_type", Text, nullable=False),
    _time("first_seen_time", nullable=False),
    PrimaryKeyConstraint("namespace", "task_type"),
    comment="Every task type that a worker ever offered.",
)

PARTITIONED = (executions, task_runs, attempts, execution_events)
