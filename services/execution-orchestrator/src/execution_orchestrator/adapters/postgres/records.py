"""Rows of the schema into the domain's records, and back into arrays of columns."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from execution_orchestrator.adapters.postgres import sql
from execution_orchestrator.application.ports import ExecutionChanges
from execution_orchestrator.domain.events import Event
from execution_orchestrator.domain.execution import Execution, Pause
from execution_orchestrator.domain.failure import Failure
from execution_orchestrator.domain.state_machine import ExecutionStatus, TaskStatus
from execution_orchestrator.domain.task import EndedAttempt, TaskKey, TaskRun

Columns = list[list[Any]]


def columns(rows: Iterable[Sequence[Any]], width: int) -> Columns:
    """Rows turned into one array for each column."""
    turned = list(zip(*rows, strict=True))
    return [list(column) for column in turned] if turned else [[] for _ in range(width)]


def failure_json(failure: Failure | None) -> str | None:
    """A failure as it is stored."""
    return None if failure is None else json.dumps(failure.as_json(), ensure_ascii=False)


def failure_of(stored: str | None) -> Failure | None:
    """A stored failure."""
    return None if stored is None else Failure.from_json(json.loads(stored))


def pause_json(pause: Pause | None) -> str | None:
    """A pause as it is stored: times as ISO 8601 in UTC."""
    if pause is None:
        return None
    return json.dumps(
        {
            "mode": pause.mode,
            "clock_policy": pause.clock_policy,
            "reason": pause.reason,
            "actor": pause.actor,
            "pause_time": pause.pause_time.isoformat(),
            "quiesced_time": pause.quiesced_time and pause.quiesced_time.isoformat(),
        }
    )


def pause_of(stored: str | None) -> Pause | None:
    """A stored pause."""
    if stored is None:
        return None
    fields = json.loads(stored)
    quiesced = fields.pop("quiesced_time")
    pause = Pause(**{**fields, "pause_time": datetime.fromisoformat(fields["pause_time"])})
    return replace(pause, quiesced_time=datetime.fromisoformat(quiesced)) if quiesced else pause


def execution_of(row: Any) -> Execution:
    """A row of executions, its payloads left out but the output, where that was asked for."""
    fields = dict(row)
    del fields["wake_time"]
    fields["status"] = ExecutionStatus(fields["status"])
    if fields["paused_from"] is not None:
        fields["paused_from"] = ExecutionStatus(fields["paused_from"])
    fields["labels"] = json.loads(fields["labels"])
    fields["failure"] = failure_of(fields["failure"])
    fields["pause"] = pause_of(fields["pause"])
    return Execution(**fields)


_EXECUTION_VALUES: dict[str, Callable[[Execution], Any]] = {
    "labels": lambda e: json.dumps(dict(e.labels), ensure_ascii=False) if e.labels else "{}",
    "failure": lambda e: failure_json(e.failure),
    "pause": lambda e: pause_json(e.pause),
}


def execution_values(names: Sequence[str]) -> Callable[[Execution], list[Any]]:
    """A function that gives an execution's values for these columns."""
    getters = [_EXECUTION_VALUES.get(name) or _attribute(name) for name in names]
    return lambda execution: [get(execution) for get in getters]


def _attribute(name: str) -> Callable[[Any], Any]:
    return lambda record: getattr(record, name)


_insert_values = execution_values(sql.EXECUTION_COLUMNS)
_update_values = execution_values(("id", *sql.EXECUTION_UPDATED))


def insert_execution(changes: ExecutionChanges) -> list[Any]:
    """An execution's values for EXECUTION_COLUMNS and the input."""
    return [*_insert_values(changes.execution), changes.input]


def update_execution(changes: ExecutionChanges) -> list[Any]:
    """An execution's values for its id and EXECUTION_UPDATED."""
    return _update_values(changes.execution)


def task_of(row: Any) -> tuple[UUID, TaskRun]:
    """A row of task_runs, without payloads."""
    fields = dict(row)
    execution_id = fields.pop("execution_id")
    key = TaskKey(fields.pop("task_id"), fields.pop("item"))
    fields["status"] = TaskStatus(fields["status"])
    return execution_id, TaskRun(key, **fields)


def insert_task(changes: ExecutionChanges, task: TaskRun) -> list[Any]:
    """A task run's values for TASK_COLUMNS."""
    owner = changes.execution
    return [_task_value(name, owner.id, owner.namespace, task) for name in sql.TASK_COLUMNS]


def update_task(changes: ExecutionChanges, task: TaskRun) -> list[Any]:
    """A task run's values for its key and TASK_UPDATED."""
    own = task.__dict__
    values = [changes.execution.id, task.key.task_id, task.key.item]
    values += [own[name] for name in sql.TASK_UPDATED]
    values[_UPDATED_FAILURE] = failure_json(task.failure)
    return values


_UPDATED_FAILURE = len(sql.TASK_KEY) + sql.TASK_UPDATED.index("failure")


def _task_value(name: str, execution_id: UUID, namespace: str, task: TaskRun) -> Any:
    match name:
        case "execution_id":
            return execution_id
        case "namespace":
            return namespace
        case "task_id":
            return task.key.task_id
        case "item":
            return task.key.item
        case "failure":
            return failure_json(task.failure)
        case _:
            return task.__dict__[name]


def insert_event(changes: ExecutionChanges, event: Event) -> list[Any]:
    """An event's values for EVENT_COLUMNS and the counts."""
    owner = changes.execution
    return [
        owner.id,
        event.sequence,
        owner.namespace,
        event.type,
        event.status,
        event.time,
        event.task_id,
        event.item,
        event.attempt,
        event.worker_id,
        _event_details(event),
        *event.counts,
    ]


def _event_details(event: Event) -> str | None:
    if event.failure is None and event.next_attempt_time is None and event.reason is None:
        return None
    details: dict[str, Any] = {}
    if event.failure is not None:
        details["failure"] = event.failure.as_json()
    if event.next_attempt_time is not None:
        details["next_attempt_time"] = event.next_attempt_time.isoformat()
    if event.reason is not None:
        details["reason"] = event.reason
    return json.dumps(details, ensure_ascii=False)


def insert_attempt(changes: ExecutionChanges, attempt: EndedAttempt) -> list[Any]:
    """An attempt's values for ATTEMPT_COLUMNS."""
    owner = changes.execution
    return [
        owner.id,
        attempt.key.task_id,
        attempt.key.item,
        attempt.epoch,
        owner.namespace,
        attempt.attempt,
        attempt.status,
        attempt.worker_id,
        attempt.start_time,
        attempt.end_time,
        failure_json(attempt.failure),
    ]
