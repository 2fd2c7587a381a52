"""The translation between rows of the schema and the domain's objects."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from operator import itemgetter
from typing import Any
from uuid import UUID

from execution_orchestrator.adapters.postgres import store_sql as sql
from execution_orchestrator.application.ports.store import ExecutionChanges, HeldClaim
from execution_orchestrator.domain.events import Event
from execution_orchestrator.domain.execution import Execution, Pause, Quarantine
from execution_orchestrator.domain.failure import Failure
from execution_orchestrator.domain.state_machine import ExecutionStatus, TaskStatus
from execution_orchestrator.domain.task import Claim, EndedAttempt, TaskKey, TaskRun

Columns = list[list[Any]]
Values = Callable[[dict[str, Any]], tuple[Any, ...]]


def columns(rows: Iterable[Sequence[Any]], width: int) -> Columns:
    """Turn rows into one array for each column."""
    turned = list(zip(*rows, strict=True))
    return [list(column) for column in turned] if turned else [[] for _ in range(width)]


def failure_json(failure: Failure | None) -> str | None:
    """Return a failure as it is stored."""
    return None if failure is None else json.dumps(failure.as_json(), ensure_ascii=False)


def failure_of(stored: str | None) -> Failure | None:
    """Return a stored failure."""
    return None if stored is None else Failure.from_json(json.loads(stored))


def pause_json(pause: Pause | None) -> str | None:
    """Return a pause as it is stored: times as ISO 8601 in UTC."""
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
    """Return a stored pause."""
    if stored is None:
        return None
    fields = json.loads(stored)
    quiesced = fields.pop("quiesced_time")
    pause = Pause(**{**fields, "pause_time": datetime.fromisoformat(fields["pause_time"])})
    return replace(pause, quiesced_time=datetime.fromisoformat(quiesced)) if quiesced else pause


def quarantine_json(quarantine: Quarantine | None) -> str | None:
    """Return a quarantine as it is stored: the time as ISO 8601 in UTC."""
    if quarantine is None:
        return None
    fields = {"quarantine_time": quarantine.quarantine_time.isoformat(), "reason": quarantine.reason}
    return json.dumps(fields | {"tries": quarantine.tries}, ensure_ascii=False)


def quarantine_of(stored: str | None) -> Quarantine | None:
    """Return a stored quarantine."""
    if stored is None:
        return None
    fields = json.loads(stored)
    return Quarantine(**fields | {"quarantine_time": datetime.fromisoformat(fields["quarantine_time"])})


def execution_of(row: Any) -> Execution:
    """Return the execution of a row of `executions`, without its input."""
    fields = dict(row)
    del fields["wake_time"]
    fields["status"] = ExecutionStatus(fields["status"])
    if fields["paused_from"] is not None:
        fields["paused_from"] = ExecutionStatus(fields["paused_from"])
    fields["labels"] = json.loads(fields["labels"])
    fields["failure"] = failure_of(fields["failure"])
    fields["pause"] = pause_of(fields["pause"])
    fields["quarantine"] = quarantine_of(fields["quarantine"])
    return Execution(**fields)


def execution_row(changes: ExecutionChanges) -> tuple[Any, ...]:
    """Return an execution as a row of EXECUTION_ROW."""
    execution = changes.execution
    own = execution.__dict__ | {
        "labels": json.dumps(dict(execution.labels), ensure_ascii=False) if execution.labels else "{}",
        "failure": execution.failure and failure_json(execution.failure),
        "pause": execution.pause and pause_json(execution.pause),
        "quarantine": execution.quarantine and quarantine_json(execution.quarantine),
        "wake_time": execution.wake_time,
        "input": changes.input,
    }
    return _execution_values(own)


_execution_values: Values = itemgetter(*sql.EXECUTION_ROW)


def task_of(row: Any) -> tuple[UUID, TaskRun]:
    """Return the task run of a row of `task_runs`, without payloads."""
    fields = dict(row)
    execution_id = fields.pop("execution_id")
    key = TaskKey(fields.pop("task_id"), fields.pop("item"))
    fields["status"] = TaskStatus(fields["status"])
    return execution_id, TaskRun(key, **fields)


def task_row(changes: ExecutionChanges, task: TaskRun) -> tuple[Any, ...]:
    """Return a task run as a row of TASK_ROW."""
    owner = changes.execution
    own = task.__dict__ | {
        "execution_id": owner.id,
        "namespace": owner.namespace,
        "task_id": task.key.task_id,
        "item": task.key.item,
        "failure": task.failure and failure_json(task.failure),
    }
    return _task_values(own)


_task_values: Values = itemgetter(*sql.TASK_ROW)


def claim_columns(claims: Sequence[Claim]) -> Columns:
    """Return the arrays of executions, task ids, items, epochs and tokens."""
    return [
        [claim.execution_id for claim in claims],
        [claim.key.task_id for claim in claims],
        [claim.key.item for claim in claims],
        [claim.epoch for claim in claims],
        [claim.token for claim in claims],
    ]


def held_claim(row: Any) -> HeldClaim:
    """Return the claim of a row (execution, task, item, epoch, token, cancel deadline)."""
    id_, task_id, item, epoch, token, cancel_deadline = row
    return HeldClaim(Claim(id_, TaskKey(task_id, item), epoch, token), cancel_deadline)


def event_row(changes: ExecutionChanges, event: Event) -> tuple[Any, ...]:
    """Return an event as a row of EVENT_ROW."""
    owner = changes.execution
    return (
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
        event.counts,
        _event_details(event),
    )


def _event_details(event: Event) -> str | None:
    details: dict[str, Any] = {}
    if event.failure is not None:
        details["failure"] = event.failure.as_json()
    if event.next_attempt_time is not None:
        details["next_attempt_time"] = event.next_attempt_time.isoformat()
    if event.reason is not None:
        details["reason"] = event.reason
    if event.item_count is not None:
        details["item_count"] = event.item_count
    if event.run_number != 1:
        details["run_number"] = event.run_number
    return json.dumps(details, ensure_ascii=False) if details else None


def attempt_row(changes: ExecutionChanges, attempt: EndedAttempt) -> tuple[Any, ...]:
    """Return an attempt as a row of ATTEMPT_ROW."""
    owner = changes.execution
    return (
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
        owner.run_number,
    )
