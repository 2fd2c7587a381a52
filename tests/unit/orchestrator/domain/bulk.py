"""What a bulk change does to the rows: the reference for the statements of the real store."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from execution_orchestrator.domain.decision import BulkChange
from execution_orchestrator.domain.state_machine import (
    AttemptStatus,
    TaskStatus,
    TaskTrigger,
    next_task_status,
)
from execution_orchestrator.domain.task import EndedAttempt, TaskKey, TaskRun

Rows = dict[TaskKey, TaskRun]
WAITS = (TaskStatus.READY, TaskStatus.BACKING_OFF)


def apply_bulk(rows: Rows, change: BulkChange, now: datetime) -> tuple[list[EndedAttempt], list[TaskKey]]:
    """Change the rows in place; returns the attempts that ended, and what is to be put into the queue."""
    return _CHANGES[change](rows, now)


def _close_waiting(rows: Rows, now: datetime) -> tuple[list[EndedAttempt], list[TaskKey]]:
    for task in rows.values():
        if not task.final and not task.in_flight:
            _cancel(task, now)
    return [], []


def _close_all(rows: Rows, now: datetime) -> tuple[list[EndedAttempt], list[TaskKey]]:
    ended = []
    for task in rows.values():
        if task.in_flight:
            ended.append(
                EndedAttempt(
                    task.key,
                    task.epoch,
                    task.attempt,
                    AttemptStatus.CANCELLED,
                    task.worker_id,
                    task.start_time,
                    now,
                    None,
                )
            )
            task.epoch += 1
            task.boot_id = task.lease_expire_time = task.close_time = task.silence_time = None
        if not task.final:
            _cancel(task, now)
    return ended, []


def _freeze(rows: Rows, now: datetime) -> tuple[list[EndedAttempt], list[TaskKey]]:
    return _freeze_those(rows, now, WAITS)


def _freeze_all(rows: Rows, now: datetime) -> tuple[list[EndedAttempt], list[TaskKey]]:
    return _freeze_those(rows, now, (*WAITS, TaskStatus.RUNNING))


def _freeze_those(
    rows: Rows, now: datetime, statuses: Sequence[TaskStatus]
) -> tuple[list[EndedAttempt], list[TaskKey]]:
    for task in rows.values():
        if task.status in statuses and task.wake_time is not None:
            task.frozen = task.wake_time - now
            task.wake_time = task.ready_time = None
    return [], []


def _thaw(rows: Rows, now: datetime) -> tuple[list[EndedAttempt], list[TaskKey]]:
    ready = []
    for task in rows.values():
        if task.status in WAITS and task.frozen is not None:
            task.wake_time = now + max(task.frozen, timedelta())
            task.frozen = None
            if task.status is TaskStatus.READY:
                task.ready_time = task.last_ready_time = now
                ready.append(task.key)
    _thaw_in_flight(rows, now)
    return [], ready


def _thaw_in_flight(rows: Rows, now: datetime) -> tuple[list[EndedAttempt], list[TaskKey]]:
    for task in rows.values():
        if task.in_flight and task.frozen is not None:
            assert task.deadline is not None
            task.wake_time = max(task.deadline, now)
            task.frozen = None
    return [], []


def _cancel(task: TaskRun, now: datetime) -> None:
    task.status = next_task_status(task.status, TaskTrigger.CANCEL)
    task.end_time = now
    task.ready_time = task.wake_time = task.frozen = None


_CHANGES: dict[BulkChange, Callable[[Rows, datetime], tuple[list[EndedAttempt], list[TaskKey]]]] = {
    BulkChange.CANCEL_WAITING: _close_waiting,
    BulkChange.CANCEL_ALL: _close_all,
    BulkChange.FREEZE: _freeze,
    BulkChange.FREEZE_ALL: _freeze_all,
    BulkChange.THAW: _thaw,
    BulkChange.THAW_IN_FLIGHT: _thaw_in_flight,
}
