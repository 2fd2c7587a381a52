"""The translation of rows into the answers of reads: tasks with every attempt, events."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from execution_orchestrator.adapters.postgres.store_rows import execution_of, failure_of
from execution_orchestrator.application.ports.reads import MAX_READ_PAYLOAD_BYTES, ExecutionDetails
from execution_orchestrator.application.ports.task_runs import AttemptDetails, TaskDetails, TaskSummary
from execution_orchestrator.domain.events import Event, EventType
from execution_orchestrator.domain.failure import (
    HEARTBEAT_TIMEOUT,
    START_TO_CLOSE_TIMEOUT,
    WORKER_LOST,
    Failure,
)
from execution_orchestrator.domain.state_machine import ExecutionStatus, TaskStatus
from execution_orchestrator.domain.task import NO_ITEM, TaskKey, TaskRun

ATTEMPT_ENDS = {
    START_TO_CLOSE_TIMEOUT: "TIMED_OUT",
    HEARTBEAT_TIMEOUT: "TIMED_OUT",
    WORKER_LOST: "LOST",
}
"""The status of an attempt that ended with one of the engine's own failures. All others FAILED."""

INPUT_KNOWN = frozenset({TaskStatus.READY, TaskStatus.RUNNING, TaskStatus.BACKING_OFF, TaskStatus.SUCCEEDED})
Attempts = Mapping[TaskKey, tuple[list[AttemptDetails], bool]]
"""By task: its attempts, and whether a failure of them is left out."""


def details_of(
    row: Any, task_rows: Iterable[Any], attempt_rows: Iterable[Any], fan_out_outputs: Mapping[str, str | None]
) -> ExecutionDetails:
    """Return an execution in full, from its row and the rows of its tasks."""
    fields = dict(row)
    execution_input = fields.pop("input")
    tasks = tasks_of(task_rows, attempt_rows, execution_input, fan_out_outputs)
    return ExecutionDetails(execution_of(fields), execution_input, tasks)


def event_of(row: Any) -> Event:
    """Return the event of a row of `execution_events`."""
    details = json.loads(row["details"]) if row["details"] is not None else {}
    failure, retry_at = details.get("failure"), details.get("next_attempt_time")
    return Event(
        row["sequence"],
        EventType(row["type"]),
        ExecutionStatus(row["status"]),
        row["time"],
        tuple(row["counts"]),
        row["task_id"],
        None if row["item"] == NO_ITEM else row["item"],
        row["attempt"],
        row["worker_id"],
        None if failure is None else Failure.from_json(failure),
        None if retry_at is None else datetime.fromisoformat(retry_at),
        details.get("reason"),
        details.get("item_count"),
        details.get("run_number", 1),
    )


def tasks_of(
    rows: Iterable[Any],
    attempt_rows: Iterable[Any],
    execution_input: str | None,
    fan_out_outputs: Mapping[str, str | None],
) -> list[TaskDetails]:
    """Return task runs, from their rows and the rows of their attempts."""
    attempts = _attempts_by_task(attempt_rows)
    tasks = []
    spare_bytes = MAX_READ_PAYLOAD_BYTES
    for row in rows:
        run = _run_of(row)
        left_out = row["left_out"]
        if run.output is None and run.key.task_id in fan_out_outputs and run.key.item == NO_ITEM:
            run.output = fan_out_outputs[run.key.task_id]
            left_out |= run.output is None
        if run.input is None and not left_out and execution_input and _took_the_execution_input(run):
            spare_bytes -= len(execution_input)
            run.input = execution_input if spare_bytes >= 0 else None
            left_out |= run.input is None
        ended, attempts_cut = attempts.get(run.key, ([], False))
        shown = _attempts_of(run, ended)
        left_out = left_out or attempts_cut or len(shown) < run.attempt
        tasks.append(TaskDetails(run, row["progress"], shown, left_out))
    return tasks


def _run_of(row: Any) -> TaskRun:
    fields = dict(row)
    del fields["progress"], fields["left_out"]
    fields.pop("found", None)
    key = TaskKey(fields.pop("task_id"), fields.pop("item"))
    fields["status"] = TaskStatus(fields["status"])
    fields["failure"] = failure_of(fields["failure"])
    return TaskRun(key, **fields)


def is_fan_out(run: TaskRun) -> bool:
    """Return whether it is the parent of a fan-out: it was expanded, and no worker ever has it."""
    return run.key.item == NO_ITEM and run.attempt == 0 and run.start_time is not None


def _took_the_execution_input(run: TaskRun) -> bool:
    """Return whether the task run got the execution's input unchanged. If so, its row has no input."""
    return not is_fan_out(run) and (run.attempt > 0 or run.status in INPUT_KNOWN)


def _attempts_by_task(rows: Iterable[Any]) -> Attempts:
    attempts: dict[TaskKey, tuple[list[AttemptDetails], bool]] = {}
    for row in rows:
        attempt = AttemptDetails(
            row["attempt"],
            row["status"],
            row["worker_id"],
            row["start_time"],
            row["end_time"],
            failure_of(row["failure"]),
            row["run_number"],
        )
        key = TaskKey(row["task_id"], row["item"])
        before, left_out = attempts.get(key, ([], False))
        before.append(attempt)
        attempts[key] = (before, left_out or row["left_out"])
    return attempts


def _attempts_of(run: TaskRun, ended: list[AttemptDetails]) -> list[AttemptDetails]:
    """Return all attempts, oldest first. If the history lacks the last attempt, the task run's row has it."""
    if run.attempt == 0 or any(attempt.attempt == run.attempt for attempt in ended):
        return ended
    last = AttemptDetails(
        run.attempt,
        _attempt_status(run),
        run.worker_id,
        run.start_time,
        run.end_time,
        run.failure,
        run.run_number,
    )
    return [*ended, last]


def summaries_of(rows: Iterable[Any]) -> list[TaskSummary]:
    """Return the summary of each task, in the order of the rows. A task's row comes before its items'."""
    by_task: dict[str, list[Any]] = {}
    for row in rows:
        by_task.setdefault(row["task_id"], []).append(row)
    return [_summary(own, items) for own, *items in by_task.values()]


def _summary(own: Any, items: Sequence[Any]) -> TaskSummary:
    is_expanded = own["attempts"] == 0 and own["start_time"] is not None
    return TaskSummary(
        own["task_id"],
        own["task_type"],
        TaskStatus(own["status"]),
        {TaskStatus(row["status"]): row["runs"] for row in items} if is_expanded else None,
        sum(row["attempts"] for row in (own, *items)),
        sum(row["retried"] for row in (own, *items)),
        own["first_start_time"] or own["start_time"],
        own["end_time"],
    )


def _attempt_status(run: TaskRun) -> str:
    if run.status is TaskStatus.FAILED:
        return ATTEMPT_ENDS.get(run.failure.type, "FAILED") if run.failure is not None else "FAILED"
    return run.status
