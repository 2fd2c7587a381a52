"""The reference of the changes that PostgreSQL makes to many task runs with one statement.

An execution may have tens of thousands of task runs, and a worker thousands of claims. To pause, cancel or
renew them the engine does not load them: it sends PostgreSQL one statement. This module says what each
statement does to each row. Only tests run it: the model of the engine uses it in place of PostgreSQL, and
tests/contract/orchestrator/test_bulk_changes.py compares it with the statements, row by row and column by
column. Change both together.

    apply_bulk          adapters/postgres/store_sql.py, BULK
    renew_claim         adapters/postgres/lease_sql.py, RENEW_BOOT and RENEW_CLAIMS
    give_time_back      adapters/postgres/upkeep_sql.py, GIVE_TIME_BACK

Of all these changes only CANCEL_WAITING and CANCEL_ALL change a status, along the rows CANCEL of the table in
state_machine.py.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from execution_orchestrator.domain.decision import BulkChange
from execution_orchestrator.domain.state_machine import (
    AttemptStatus,
    TaskStatus,
    TaskTrigger,
    next_task_status,
)
from execution_orchestrator.domain.task import EndedAttempt, TaskKey, TaskRun

WAITING_STATUSES = (TaskStatus.READY, TaskStatus.BACKING_OFF)
"""The statuses of a task run that waits for a worker or for its next attempt."""


@dataclass
class BulkResult:
    """The attempts that a bulk change ended, and the task runs that it put into the queue."""

    ended: list[EndedAttempt] = field(default_factory=list)
    ready: list[TaskKey] = field(default_factory=list)


class Outage(NamedTuple):
    """A time in which no replica of the engine could serve."""

    start_time: datetime
    end_time: datetime


def apply_bulk(tasks: Sequence[TaskRun], change: BulkChange, now: datetime) -> BulkResult:
    """Change the task runs of one execution in place."""
    result = BulkResult()
    _CHANGES[change](tasks, now, result)
    return result


def renew_claim(
    task: TaskRun, now: datetime, lease_ttl: timedelta, *, covered: bool, handler_alive: bool
) -> None:
    """Renew a claim that holds, because its worker named it in a heartbeat.

    If the lease of the worker process covers the claim, this confirms the claim, and it needs no lease of its
    own any more. `handler_alive` is False if the worker lives but its handler gives no sign of life.
    """
    task.lease_expire_time = None if covered else now + lease_ttl
    if handler_alive and task.heartbeat_timeout is not None:
        task.silence_time = now + task.heartbeat_timeout
    task.wake_time = task.deadline if task.frozen is None else None


def give_time_back(task: TaskRun, outages: Iterable[Outage], newest_end: datetime, grace: timedelta) -> None:
    """Move the deadline of a job that is due: outages do not count as time in the queue.

    Do nothing unless the job waits since before `newest_end`, the end of the newest outage. After that end it
    gets at least `grace`, because workers need time to come back.
    """
    if task.status is not TaskStatus.READY or task.wake_time is None or task.ready_time is None:
        return
    if task.ready_time >= newest_end:
        return
    lost = timedelta()
    for outage in outages:
        if outage.start_time < newest_end and outage.end_time > task.ready_time:
            lost += outage.end_time - max(outage.start_time, task.ready_time)
    task.wake_time = max(task.wake_time + lost, newest_end + grace)
    task.ready_time = newest_end


# -- cancels ------------------------------------------------------------------------------------


def _cancel_waiting(tasks: Sequence[TaskRun], now: datetime, result: BulkResult) -> None:
    for task in tasks:
        if not task.final and not task.in_flight:
            _cancel(task, now)


def _cancel_all(tasks: Sequence[TaskRun], now: datetime, result: BulkResult) -> None:
    for task in tasks:
        if task.in_flight:
            result.ended.append(_cancelled_attempt(task, now))
            task.epoch += 1
            task.boot_id = task.lease_expire_time = task.close_time = task.silence_time = None
        if not task.final:
            _cancel(task, now)


def _cancel(task: TaskRun, now: datetime) -> None:
    task.status = next_task_status(task.status, TaskTrigger.CANCEL)
    task.end_time = now
    task.ready_time = task.wake_time = task.frozen = None


def _cancelled_attempt(task: TaskRun, now: datetime) -> EndedAttempt:
    cancelled = AttemptStatus.CANCELLED
    return EndedAttempt(
        task.key, task.epoch, task.attempt, cancelled, task.worker_id, task.start_time, now, None
    )


# -- clocks -------------------------------------------------------------------------------------


def _freeze(tasks: Sequence[TaskRun], now: datetime, result: BulkResult) -> None:
    for task in tasks:
        if task.status in WAITING_STATUSES:
            _stop_timer(task, now)


def _freeze_all(tasks: Sequence[TaskRun], now: datetime, result: BulkResult) -> None:
    for task in tasks:
        if task.status in (*WAITING_STATUSES, TaskStatus.RUNNING):
            _stop_timer(task, now)


def _stop_timer(task: TaskRun, now: datetime) -> None:
    if task.wake_time is not None:
        task.frozen = task.wake_time - now
        task.wake_time = task.ready_time = None


def _thaw(tasks: Sequence[TaskRun], now: datetime, result: BulkResult) -> None:
    """Let a task run that waits continue with the time that was left, at least none."""
    for task in tasks:
        if task.status in WAITING_STATUSES and task.frozen is not None:
            task.wake_time = now + max(task.frozen, timedelta())
            task.frozen = None
            if task.status is TaskStatus.READY:
                task.ready_time = task.last_ready_time = now
                result.ready.append(task.key)
    _thaw_in_flight(tasks, now, result)


def _thaw_in_flight(tasks: Sequence[TaskRun], now: datetime, result: BulkResult) -> None:
    """Let the timers of claims continue. A claim's deadlines are times of day, which nothing stops.

    A deadline that has passed becomes due now: the timers look for what becomes due from now on.
    """
    for task in tasks:
        if task.in_flight and task.frozen is not None:
            task.wake_time = max(task.deadline or now, now)
            task.frozen = None


_CHANGES: dict[BulkChange, Callable[[Sequence[TaskRun], datetime, BulkResult], None]] = {
    BulkChange.CANCEL_WAITING: _cancel_waiting,
    BulkChange.CANCEL_ALL: _cancel_all,
    BulkChange.FREEZE: _freeze,
    BulkChange.FREEZE_ALL: _freeze_all,
    BulkChange.THAW: _thaw,
    BulkChange.THAW_IN_FLIGHT: _thaw_in_flight,
}
