"""The statements of the write path, made once from the schema.

The shapes matter: arrays in, `unnest` joined on the primary key. They must stay nested loops on the primary
key while tables grow and statistics lag (SESSION_SETTINGS sees to that). Every statement takes rows in the
order of the key, so that two batches never wait for each other in a circle.

A statement that computes new values follows a rule of the domain, which its comment names. The others read,
or store what a decision has computed.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy import Table

from execution_orchestrator.adapters.postgres.tables import (
    attempts,
    execution_events,
    executions,
    task_runs,
)
from execution_orchestrator.domain.decision import BulkChange

LOCK_TIMEOUT_MS = 1_000

SESSION_SETTINGS = {
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
    "lock_timeout": f"{LOCK_TIMEOUT_MS}ms",
}
"""Settings of the write path's connections. When a plan once fell to a hash join, 250 rows took 350 ms.

The engine's own transactions never wait for the lock of an execution (`SKIP LOCKED`). The lock timeout is for
other locks, such as a task run that an operator holds.
"""

# The final statuses of a task run: FINAL_TASK_STATUSES of domain/state_machine.py.
FINAL = "('SUCCEEDED', 'FAILED', 'CANCELLED', 'SKIPPED')"

EXECUTION_ROW = tuple(column.name for column in executions.columns)
EXECUTION_COLUMNS = tuple(name for name in EXECUTION_ROW if name != "input")
EXECUTION_UPDATED = tuple(
    name
    for name in EXECUTION_COLUMNS
    if name not in ("id", "namespace", "workflow_id", "version", "labels", "create_time", "run_number")
)
TASK_PAYLOADS = ("input", "output", "failure")
TASK_ROW = tuple(column.name for column in task_runs.columns if column.name != "progress")
TASK_KEPT = (*TASK_PAYLOADS, "last_ready_time")
TASK_LOADED = tuple(name for name in TASK_ROW if name not in (*TASK_KEPT, "execution_id", "namespace"))
TASK_KEY = ("execution_id", "task_id", "item")
TASK_UPDATED = tuple(
    name
    for name in TASK_ROW
    if name not in (*TASK_KEY, "namespace", "task_type", "queue", "heartbeat_timeout", "run_number")
)
ATTEMPT_ROW = tuple(column.name for column in attempts.columns)
EVENT_ROW = tuple(column.name for column in execution_events.columns)


def _insert(table: Table, names: tuple[str, ...], row_type: str) -> str:
    return f"INSERT INTO {table.name} ({', '.join(names)}) SELECT * FROM unnest($1::{row_type}[])"


def _update(
    table: Table, key: tuple[str, ...], names: tuple[str, ...], row_type: str, kept: tuple[str, ...]
) -> str:
    """Return an update by rows. A null for a column of `kept` keeps the stored value."""
    set_ = ", ".join(
        f"{name} = coalesce(q.{name}, t.{name})" if name in kept else f"{name} = q.{name}" for name in names
    )
    match = " AND ".join(f"t.{name} = q.{name}" for name in key)
    return f"UPDATE {table.name} t SET {set_} FROM unnest($1::{row_type}[]) AS q WHERE {match}"


# Six writes store the rows, attempts and events of decisions as the rules computed them. An array of rows
# costs about half as much as an array for each column, on both sides of the connection.
INSERT_EXECUTIONS = _insert(executions, EXECUTION_ROW, "execution_row_2")
UPDATE_EXECUTIONS = _update(executions, ("id",), EXECUTION_UPDATED, "execution_row_2", kept=("output",))
INSERT_TASKS = _insert(task_runs, TASK_ROW, "task_run_row_3")
UPDATE_TASKS = _update(task_runs, TASK_KEY, TASK_UPDATED, "task_run_row_3", kept=TASK_KEPT)
INSERT_ATTEMPTS = _insert(attempts, ATTEMPT_ROW, "attempt_row_3")
INSERT_EVENTS = _insert(execution_events, EVENT_ROW, "execution_event_row_2")


def size_of(payload: str, table: str = "") -> str:
    """Return an expression for the bytes of a payload. It measures only rows of releases that did not store
    them.
    """
    stored = f"{table}{payload}_bytes"
    measured = f"coalesce(octet_length({table}{payload}::text), 0)"
    return f"CASE WHEN {stored} > 0 THEN {stored} ELSE {measured} END"


def combined(statements: Sequence[str]) -> str:
    """Return one statement for several writes with one parameter each, so that a batch is one round trip.

    All of them see the tables as they were before. That does not matter, because they touch different tables.
    """
    *first, last = (text.replace("$1", f"${place}") for place, text in enumerate(statements, 1))
    if not first:
        return last
    return f"WITH {', '.join(f'w{place} AS ({text})' for place, text in enumerate(first))} {last}"


# Lock and return executions without waiting: a locked one is left out, and its commands wait in the lane.
LOCK_EXECUTIONS = (
    f"SELECT {', '.join(f't.{name}' for name in EXECUTION_COLUMNS if name != 'output')} "
    "FROM unnest($1::uuid[]) AS q(id) JOIN executions t ON t.id = q.id ORDER BY t.id "
    "FOR UPDATE OF t SKIP LOCKED"
)
# Return the ids that exist, so that a locked execution is not taken for a missing one.
EXISTING_IDS = "SELECT t.id FROM unnest($1::uuid[]) AS q(id) JOIN executions t ON t.id = q.id"
# Find one event exactly as it was written: this proves that the transaction that wrote it was committed.
HAS_EVENT = (
    "SELECT true FROM execution_events WHERE execution_id = $1 AND sequence = $2 AND time = $3 AND type = $4 "
    "AND task_id IS NOT DISTINCT FROM $5 AND worker_id IS NOT DISTINCT FROM $6"
)
# Return the primary's time. Only this clock decides what is due.
NOW = "SELECT clock_timestamp()"
# Return executions with their outputs, for starts that repeat an earlier one.
EXISTING_EXECUTIONS = (
    f"SELECT {', '.join(f't.{name}' for name in EXECUTION_COLUMNS)} "
    "FROM unnest($1::uuid[]) AS q(id) JOIN executions t ON t.id = q.id"
)
# The same without outputs, which may be large.
EXISTING_WITHOUT_OUTPUTS = EXISTING_EXECUTIONS.replace("t.output", "NULL::json AS output", 1)
# Return the outputs of executions, or no row if together they take more stored bytes than the limit.
OUTPUTS = (
    "SELECT t.id, t.output FROM executions t WHERE t.id = ANY($1::uuid[]) AND "
    "(SELECT coalesce(sum(pg_column_size(output)), 0) FROM executions WHERE id = ANY($1::uuid[])) <= $2"
)

_TASK_JOIN = (
    "unnest($1::uuid[], $2::text[], $3::integer[]) AS q(execution_id, task_id, item) "
    "JOIN task_runs t ON t.execution_id = q.execution_id AND t.task_id = q.task_id AND t.item = q.item"
)
# Load task runs into a snapshot, without payloads.
LOAD_TASKS = f"SELECT t.execution_id, {', '.join(f't.{name}' for name in TASK_LOADED)} FROM {_TASK_JOIN}"
# Load the inputs of task runs that a command claims.
LOAD_TASK_INPUTS = f"SELECT t.execution_id, t.task_id, t.item, t.input FROM {_TASK_JOIN}"
# Load the inputs of executions, which tasks without an input of their own get.
LOAD_EXECUTION_INPUTS = (
    "SELECT t.id, t.input FROM unnest($1::uuid[]) AS q(id) JOIN executions t ON t.id = q.id"
)
# Load the outputs that expressions read. The limit in bytes is for rows of releases that did not count the
# bytes of a fan-out's items; for all others the caller counts before it asks. A row beyond the limit comes
# without its output, as `too_large`.
LOAD_OUTPUTS = (
    "SELECT execution_id, task_id, item, CASE WHEN size <= $3 THEN output END AS output, "
    "size > $3 AS too_large "
    "FROM (SELECT t.execution_id, t.task_id, t.item, t.output, "
    f"sum({size_of('output', 't.')}) OVER (PARTITION BY t.execution_id, t.task_id ORDER BY t.item) AS size "
    "FROM unnest($1::uuid[], $2::text[]) AS q(execution_id, task_id) "
    "JOIN task_runs t ON t.execution_id = q.execution_id AND t.task_id = q.task_id "
    "WHERE t.output IS NOT NULL) sized"
)

# Reserve the ids of starts. An id that somebody has reserved stays with its first owner.
RESERVE_REQUEST_IDS = (
    "INSERT INTO request_ids (namespace, request_id, request_hash, execution_id, create_time) "
    "SELECT *, clock_timestamp() FROM unnest($1::text[], $2::text[], $3::bytea[], $4::uuid[]) "
    "ON CONFLICT (namespace, request_id) DO NOTHING"
)
# Free ids again that this transaction reserved for starts that it does not write.
FORGET_REQUEST_IDS = (
    "DELETE FROM request_ids t USING unnest($1::text[], $2::text[]) AS q(namespace, request_id) "
    "WHERE t.namespace = q.namespace AND t.request_id = q.request_id"
)
# Return the start that owns each id, for repeats.
OWNERS_OF_REQUEST_IDS = (
    "SELECT t.namespace, t.request_id, t.request_hash, t.execution_id "
    "FROM unnest($1::text[], $2::text[]) AS q(namespace, request_id) "
    "JOIN request_ids t ON t.namespace = q.namespace AND t.request_id = q.request_id"
)

# Bulk changes: one statement changes all task runs of an execution, however many there are. Each follows the
# function of the same name in domain/rules/bulk.py, and a contract suite compares them.

# Cancel every task run that is not final and that no worker has (CANCEL in the table of task runs).
CANCEL_WAITING = (
    "UPDATE task_runs SET status = 'CANCELLED', end_time = $2::timestamptz, "
    "ready_time = NULL, wake_time = NULL, frozen = NULL "
    f"WHERE execution_id = $1 AND status NOT IN {FINAL} AND NOT (status = 'RUNNING' AND boot_id IS NOT NULL)"
)
# Write the end of each attempt in flight into the history, before REVOKE_RUNNING clears its facts.
KEEP_REVOKED_ATTEMPTS = (
    "INSERT INTO attempts "
    "(execution_id, task_id, item, epoch, namespace, attempt, status, worker_id, start_time, end_time, "
    "run_number) "
    "SELECT execution_id, task_id, item, epoch, namespace, attempt, 'CANCELLED', worker_id, start_time, "
    "$2::timestamptz, run_number "
    "FROM task_runs WHERE execution_id = $1 AND status = 'RUNNING' AND boot_id IS NOT NULL"
)
# Cancel every task run in flight, and raise its epoch, so that later reports of its worker are stale.
REVOKE_RUNNING = (
    "UPDATE task_runs SET status = 'CANCELLED', end_time = $2::timestamptz, epoch = epoch + 1, "
    "boot_id = NULL, wake_time = NULL, frozen = NULL, "
    "lease_expire_time = NULL, close_time = NULL, silence_time = NULL "
    "WHERE execution_id = $1 AND status = 'RUNNING' AND boot_id IS NOT NULL"
)


def _freeze(statuses: str) -> str:
    """Return a statement that stops timers: it keeps the time that is left, and takes jobs out of the
    queue.
    """
    return (
        "UPDATE task_runs SET frozen = wake_time - $2::timestamptz, wake_time = NULL, ready_time = NULL "
        f"WHERE execution_id = $1 AND status IN ({statuses}) AND wake_time IS NOT NULL"
    )


def _thaw(statuses: str) -> str:
    """Return a statement that lets timers continue, and returns the task runs that are READY again.

    Task runs that wait continue with the time that was left. The deadlines of claims are times of day, which
    nothing stops. No wake_time is set before now: timers look for what becomes due from now on.
    """
    return (
        "UPDATE task_runs SET wake_time = CASE WHEN status = 'RUNNING' "
        "THEN greatest(least(lease_expire_time, close_time, silence_time), $2::timestamptz) "
        "ELSE $2::timestamptz + greatest(frozen, interval '0') END, "
        "frozen = NULL, ready_time = CASE WHEN status = 'READY' THEN $2::timestamptz END, "
        "last_ready_time = CASE WHEN status = 'READY' THEN $2::timestamptz ELSE last_ready_time END "
        f"WHERE execution_id = $1 AND frozen IS NOT NULL AND status IN ({statuses}) "
        "RETURNING namespace, execution_id, task_id, item, task_type, queue, status"
    )


_WAITING, _IN_FLIGHT = "'READY', 'BACKING_OFF'", "'RUNNING'"
# The timers of task runs that wait, or of those in flight too; see `freeze` in domain/rules/clocks.py.
FREEZE = _freeze(_WAITING)
FREEZE_ALL = _freeze(f"{_WAITING}, {_IN_FLIGHT}")
# The opposite; see `thaw` in domain/rules/clocks.py.
THAW = _thaw(f"{_WAITING}, {_IN_FLIGHT}")
THAW_IN_FLIGHT = _thaw(_IN_FLIGHT)
BULK: Mapping[BulkChange, tuple[str, ...]] = {
    BulkChange.CANCEL_WAITING: (CANCEL_WAITING,),
    BulkChange.CANCEL_ALL: (KEEP_REVOKED_ATTEMPTS, REVOKE_RUNNING, CANCEL_WAITING),
    BulkChange.FREEZE: (FREEZE,),
    BulkChange.FREEZE_ALL: (FREEZE_ALL,),
    BulkChange.THAW: (THAW,),
    BulkChange.THAW_IN_FLIGHT: (THAW_IN_FLIGHT,),
}
"""The statements of each change, in order. Their parameters are the execution and the time."""

# Return the claims whose task run has the same epoch and token and is in flight (`TaskRun.in_flight`).
HELD_CLAIMS = (
    "SELECT t.execution_id, t.task_id, t.item, t.epoch, q.token, e.cancel_deadline "
    "FROM unnest($1::uuid[], $2::text[], $3::integer[], $4::bigint[], $5::bytea[]) "
    "AS q(execution_id, task_id, item, epoch, token) "
    "JOIN task_runs t ON t.execution_id = q.execution_id AND t.task_id = q.task_id AND t.item = q.item "
    "JOIN executions e ON e.id = t.execution_id "
    "WHERE t.epoch = q.epoch AND coalesce(t.claim_token, '') = q.token "
    "AND t.status = 'RUNNING' AND t.boot_id IS NOT NULL"
)


TURN_SECONDS = 20
"""Longer than a wake takes under load. If a row moves to another share meanwhile, two replicas wake it."""


def _due(columns: str, table: str, place: str, condition: str, id_: str, count: str, index: str) -> str:
    """Return the statement for a page of the due rows after a place, in the order of the place's columns.

    The time of the look comes with it even if nothing is due. The time of the statement decides what is due:
    with clock_timestamp(), which may differ from row to row, no index could end the walk.

    A replica takes its share of the rows. While a row is due, it moves to the share of the next replica every
    TURN_SECONDS. So a replica that reports to be there but does nothing else keeps no row for long.
    """
    turns = f"extract(epoch FROM statement_timestamp() - wake_time)::bigint / {TURN_SECONDS}"
    share = f"mod(uuid_hash({id_}) + 2147483648 + {turns}, {count}::bigint) = {index}::bigint"
    return (
        "SELECT s.looked_at, due.* FROM (SELECT statement_timestamp() AS looked_at) s LEFT JOIN LATERAL ("
        f"SELECT {columns} FROM {table} WHERE wake_time <= statement_timestamp() AND {place} {condition}"
        f"AND ({count}::bigint = 1 OR {share}) ORDER BY {place.split(')')[0][1:]} LIMIT $1) due ON true"
    )


# Find task runs whose wake_time has come. Only the rule `wake_task` decides what follows.
DUE_TASKS = _due(
    "wake_time, execution_id, task_id, item, status = 'READY' AND ready_time < $8::timestamptz",
    "task_runs",
    "(wake_time, execution_id, task_id, item) > ($2::timestamptz, $3::uuid, $4, $5::integer)",
    "AND (status <> 'RUNNING' OR $9::boolean) ",
    *("execution_id", "$6", "$7"),
)
# Find executions whose wake_time has come. Only the rule `wake_execution` decides what follows.
DUE_EXECUTIONS = _due(
    "wake_time, id",
    "executions",
    "(wake_time, id) > ($2::timestamptz, $3::uuid)",
    "",
    *("id", "$4", "$5"),
)
# Return a page of the jobs that have waited for some time, for the sweep. `ready_time` is set while a task
# run may be in the queue, and only then.
READY_HINTS = (
    "SELECT ready_time, namespace, execution_id, task_id, item, task_type, queue FROM task_runs "
    "WHERE ready_time IS NOT NULL AND ready_time <= statement_timestamp() - $1::interval "
    "AND (ready_time, execution_id, task_id, item) > ($2::timestamptz, $3::uuid, $4, $5::integer) "
    "ORDER BY ready_time, execution_id, task_id, item LIMIT $6"
)

# Return the task runs that may still be in the queue.
STILL_READY = f"SELECT t.execution_id, t.task_id, t.item FROM {_TASK_JOIN} WHERE t.ready_time IS NOT NULL"

# Keep the definition that an execution will run on. A version never changes, so the first one stays.
SAVE_DEFINITION = (
    "INSERT INTO definitions (namespace, workflow_id, version, definition) VALUES ($1, $2, $3, $4) "
    "ON CONFLICT (namespace, workflow_id, version) DO NOTHING"
)
# Return the definition that SAVE_DEFINITION kept.
LOAD_DEFINITION = (
    "SELECT definition FROM definitions WHERE namespace = $1 AND workflow_id = $2 AND version = $3"
)
# Remember every task type that a worker has ever offered.
ADD_TASK_TYPES = (
    "INSERT INTO task_types (namespace, task_type, first_seen_time) "
    "SELECT $1, type, clock_timestamp() FROM unnest($2::text[]) AS q(type) "
    "ON CONFLICT (namespace, task_type) DO NOTHING"
)
# Return the task types that workers have ever offered in a namespace.
TASK_TYPES = "SELECT task_type FROM task_types WHERE namespace = $1"
