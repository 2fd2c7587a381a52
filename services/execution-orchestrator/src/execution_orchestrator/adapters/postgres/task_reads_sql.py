"""The statements that read the task runs of one execution. Each has a limit in rows and in bytes."""

from typing import NamedTuple

from execution_orchestrator.adapters.postgres.store_sql import size_of
from execution_orchestrator.adapters.postgres.tables import task_runs
from execution_orchestrator.application.ports.reads import LIST_SECONDS, MAX_READ_PAYLOAD_BYTES
from execution_orchestrator.application.ports.task_runs import (
    MAX_LIST_ATTEMPTS,
    MAX_READ_TASK_BYTES,
    MAX_TASK_RUN_WALK,
)
from execution_orchestrator.domain.limits import MAX_LIST_TASKS

_TASK_PAYLOADS = ("input", "output", "failure", "progress")
_TASK_FACTS = ", ".join(
    column.name
    for column in task_runs.columns
    if column.name not in (*_TASK_PAYLOADS, "execution_id", "namespace", "claim_token")
)

# Task runs come by key, the items of a fan-out after their parent. A payload is left out if it and everything
# before it exceed the limit: a row is worth more than a payload.
_TASK_BYTES = (
    f"{size_of('input')} + {size_of('output')} * (item >= 0 OR attempt > 0)::integer "
    "+ coalesce(octet_length(failure::text), 0) + coalesce(octet_length(progress::text), 0)"
)


def _list_tasks(chosen: str, max_bytes: int) -> str:
    payloads = ", ".join(
        f"CASE WHEN size <= {max_bytes} THEN {name} END AS {name}" for name in _TASK_PAYLOADS
    )
    return (
        f"SELECT {_TASK_FACTS}, {payloads}, size > {max_bytes} AND own_size > 0 AS left_out "
        "FROM (SELECT *, sum(own_size) OVER (ORDER BY task_id, item) AS size FROM ("
        f"SELECT *, {_TASK_BYTES} AS own_size FROM task_runs WHERE execution_id = $1{chosen} "
        f"ORDER BY task_id, item LIMIT {MAX_LIST_TASKS}"
        ") page) sized ORDER BY task_id, item"
    )


def _list_attempts(chosen: str) -> str:
    return (
        "SELECT task_id, item, attempt, status, worker_id, start_time, end_time, run_number, "
        f"CASE WHEN size <= {MAX_READ_PAYLOAD_BYTES} THEN failure END AS failure, "
        f"size > {MAX_READ_PAYLOAD_BYTES} AND failure IS NOT NULL AS left_out "
        "FROM (SELECT *, sum(coalesce(octet_length(failure::text), 0)) OVER (ORDER BY task_id, item, epoch) "
        f"AS size FROM (SELECT * FROM attempts WHERE execution_id = $1{chosen} "
        f"ORDER BY task_id, item, epoch LIMIT {MAX_LIST_ATTEMPTS}) page) sized ORDER BY task_id, item, epoch"
    )


class TaskStatements(NamedTuple):
    """The statements for the task runs and for the attempts of an execution."""

    tasks: str
    attempts: str


_OF_TASK, _OF_ITEM = " AND task_id = $2", " AND task_id = $2 AND item = $3"
# The first task runs of an execution and their attempts: of all tasks, of one task, or of one item.
OF_ALL = TaskStatements(_list_tasks("", MAX_READ_PAYLOAD_BYTES), _list_attempts(""))
OF_TASK = TaskStatements(_list_tasks(_OF_TASK, MAX_READ_TASK_BYTES), _list_attempts(_OF_TASK))
OF_ITEM = TaskStatements(_list_tasks(_OF_ITEM, MAX_READ_TASK_BYTES), _list_attempts(_OF_ITEM))
# Join the outputs of a fan-out's items to one list, if they fit: the stored sizes show that without a read
# of them.
FAN_OUT_OUTPUTS = f"""
WITH fits AS (
    SELECT task_id FROM task_runs WHERE execution_id = $1 AND task_id = ANY($2::text[]) AND item >= 0
    GROUP BY task_id HAVING sum({size_of("output")} + 1) <= $3
)
SELECT t.task_id, '[' || string_agg(t.output::text, ',' ORDER BY t.item) || ']' AS output
FROM fits JOIN task_runs t ON t.execution_id = $1 AND t.task_id = fits.task_id AND t.item >= 0
GROUP BY t.task_id
"""


# Return the input of an execution, which tasks without an input of their own got.
EXECUTION_INPUT = "SELECT input FROM executions WHERE id = $1 AND namespace = $2"
LIST_SETTINGS = (
    f"SET LOCAL statement_timeout = '{LIST_SECONDS}s'; SET LOCAL enable_seqscan = off; "
    "SET LOCAL enable_sort = off; SET LOCAL enable_incremental_sort = off"
)
"""Settings for the transaction of a list. It is in the order of the primary key. So a planner that may not
sort walks along that key from the begin of the page, whatever the statistics say.
"""


def _after(of_task: bool) -> str:
    """Return the part of a query for the task runs of the execution $1 after the key ($2, $3)."""
    place = "task_id = $2 AND item > $3" if of_task else "(task_id, item) > ($2, $3::integer)"
    return f"FROM task_runs WHERE execution_id = $1 AND {place} ORDER BY {_order(of_task)}"


def _order(of_task: bool) -> str:
    """Return the columns that differ. With another column the planner would sort what is in order already."""
    return "item" if of_task else "task_id, item"


def list_task_runs(
    *,
    of_task: bool,
    sparse: bool,
    full: bool,
    max_walk: int = MAX_TASK_RUN_WALK,
    max_attempts: int = MAX_LIST_ATTEMPTS,
) -> str:
    """Return the statement of a page of task runs: up to $4 task runs after the key ($2, $3).

    With `of_task` they are of the task $2. With `sparse` they are among the next `max_walk`, and have a
    status of $5 (null: any) and at least $6 attempts.

    Only a `full` page has payloads. It is cut by bytes and by `max_attempts`; `found` is the number of rows
    before the cut.
    """
    order = _order(of_task)
    walked = f"SELECT * {_after(of_task)} LIMIT {max_walk if sparse else '$4'}"
    chosen = "($5::text[] IS NULL OR status = ANY($5)) AND attempt >= $6" if sparse else "true"
    page = f"SELECT * FROM ({walked}) walked WHERE {chosen} ORDER BY {order} LIMIT $4"
    if not full:
        columns = [_TASK_FACTS, *(f"NULL::json AS {name}" for name in _TASK_PAYLOADS), "false AS left_out"]
        return f"SELECT {', '.join(columns)}, count(*) OVER () AS found FROM ({page}) page"
    return (
        f"SELECT {_TASK_FACTS}, {', '.join(_TASK_PAYLOADS)}, false AS left_out, found FROM ("
        f"SELECT *, count(*) OVER () AS found, sum({_TASK_BYTES}) OVER before AS bytes_before, "
        f"sum(attempt) OVER before AS attempts_before FROM ({page}) page "
        f"WINDOW before AS (ORDER BY {order} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
        f") sized WHERE coalesce(bytes_before, 0) < {MAX_READ_PAYLOAD_BYTES} "
        f"AND coalesce(attempts_before, 0) < {max_attempts} ORDER BY {order}"
    )


def walk_end(*, of_task: bool, max_walk: int = MAX_TASK_RUN_WALK) -> str:
    """Return the statement for the last key that a page of a sparse list looks at, if there are more."""
    return f"SELECT task_id, item {_after(of_task)} OFFSET {max_walk - 1} LIMIT 1"


# Return the attempts of the task runs of one page.
ATTEMPTS_OF_PAGE = _list_attempts(" AND (task_id, item) IN (SELECT * FROM unnest($2::text[], $3::integer[]))")


def _summaries(chosen: str) -> str:
    """Return the statement that counts task runs by task, parent or item, and status, in one pass."""
    return (
        "SELECT g.*, CASE WHEN NOT is_item AND attempts > 1 THEN (SELECT start_time FROM attempts a "
        "WHERE a.execution_id = $1 AND a.task_id = g.task_id AND a.item = -1 ORDER BY a.epoch LIMIT 1) END "
        "AS first_start_time FROM (SELECT task_id, item >= 0 AS is_item, status, count(*) AS runs, "
        "sum(attempt) AS attempts, count(*) FILTER (WHERE attempt > 1) AS retried, "
        "min(task_type) AS task_type, min(start_time) AS start_time, max(end_time) AS end_time "
        f"FROM task_runs WHERE execution_id = $1{chosen} GROUP BY 1, 2, 3) g ORDER BY task_id, is_item"
    )


# Count the task runs of all tasks of an execution, or of one task.
SUMMARIES_OF_ALL = _summaries("")
SUMMARIES_OF_TASK = _summaries(_OF_TASK)
