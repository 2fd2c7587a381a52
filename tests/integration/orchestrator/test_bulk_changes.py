"""The statements of the bulk changes do to the rows what the reference of the unit tests does."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest
from execution_orchestrator.adapters.postgres.store import PostgresStore
from execution_orchestrator.adapters.postgres.store_sql import SESSION_SETTINGS
from execution_orchestrator.application.ports.store import ExecutionChanges
from execution_orchestrator.domain.decision import BulkChange
from execution_orchestrator.domain.execution import Execution
from execution_orchestrator.domain.state_machine import FINAL_TASK_STATUSES, TaskStatus
from execution_orchestrator.domain.task import TaskKey, TaskRun

from tests.unit.orchestrator.domain.bulk import WAITS, apply_bulk

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
CHANGE_TIME = NOW + timedelta(seconds=7)
OURS, OTHERS = UUID(int=1), UUID(int=2)
Rows = dict[TaskKey, TaskRun]


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def waiting(name: str, status: TaskStatus, frozen: bool) -> TaskRun:
    """A task that waits for a worker or for its next attempt; its time may stand still."""
    task = TaskRun(TaskKey(name), "noop", "default", status)
    if frozen:
        task.frozen = timedelta(seconds=90)
    else:
        task.wake_time = after(90)
        task.ready_time = NOW if status is TaskStatus.READY else None
    return task


def claimed(name: str, frozen: bool, **times: datetime) -> TaskRun:
    """A task that a worker has."""
    task = TaskRun(TaskKey(name), "noop", "default", TaskStatus.RUNNING, attempt=1, epoch=3, **times)
    task.worker_id, task.boot_id, task.start_time = "worker", "boot", NOW
    task.wake_time = None if frozen else task.deadline
    task.frozen = timedelta(seconds=3) if frozen else None
    return task


def every_kind_of_row() -> Rows:
    """A task run in every status, and those that have a timer with its time running and standing still."""
    tasks = [
        TaskRun(TaskKey("blocked"), "noop", "default", unmet_needs=1),
        TaskRun(TaskKey("waits"), "wait.signal", "default", TaskStatus.WAITING),
        TaskRun(TaskKey("fans-out"), "noop", "default", TaskStatus.RUNNING, start_time=NOW, items_open=2),
    ]
    for status in FINAL_TASK_STATUSES:
        tasks.append(TaskRun(TaskKey(status), "noop", "default", status, end_time=NOW))
    for frozen in (False, True):
        word = "frozen" if frozen else "running"
        tasks += [waiting(f"{status}-{word}", status, frozen) for status in WAITS]
        lease, close, silence = after(30), after(300), after(8)
        tasks.append(claimed(f"leased-{word}", frozen, lease_expire_time=lease, close_time=close))
        times = {"lease_expire_time": lease, "close_time": close, "silence_time": silence}
        tasks.append(claimed(f"silent-{word}", frozen, **times))
    return {task.key: task for task in tasks}


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[PostgresStore]:
    pool = await asyncpg.create_pool(database_url, min_size=1, max_size=2, server_settings=SESSION_SETTINGS)
    yield PostgresStore(pool)
    await pool.close()


async def fill(store: PostgresStore, execution_id: UUID) -> Execution:
    """An execution with every kind of row."""
    rows = every_kind_of_row()
    execution = Execution(execution_id, "default", "flow", 1, {}, NOW)
    changes = ExecutionChanges(execution, created=True, tasks=rows, new_tasks=set(rows), now=NOW)
    async with store.transaction() as tx:
        await tx.write([changes])
    return execution


async def stored(store: PostgresStore, execution_id: UUID) -> Rows:
    async with store.transaction() as tx:
        found = await tx.load_tasks([(execution_id, key) for key in sorted(every_kind_of_row())])
    rows = {task.key: task for _, task in found}
    query = "SELECT task_id, last_ready_time FROM task_runs WHERE execution_id = $1"
    for row in await store._pool.fetch(query, execution_id):  # a decision never reads it
        rows[TaskKey(row["task_id"])].last_ready_time = row["last_ready_time"]
    return rows


@pytest.mark.parametrize("change", BulkChange, ids=lambda change: change.name)
async def test_a_statement_does_what_its_reference_does(store: PostgresStore, change: BulkChange) -> None:
    execution = await fill(store, OURS)
    await fill(store, OTHERS)
    async with store.transaction() as tx:
        hints = await tx.write([ExecutionChanges(execution, bulk=[change], now=CHANGE_TIME)])
    expected = every_kind_of_row()
    ended, ready = apply_bulk(expected, change, CHANGE_TIME)
    assert await stored(store, OURS) == expected
    assert sorted(TaskKey(hint.task_id, hint.item) for hint in hints) == sorted(ready)
    assert await stored(store, OTHERS) == every_kind_of_row(), "it changed another execution"
    kept = await store._pool.fetch(
        "SELECT task_id, epoch, attempt, status, worker_id, end_time FROM attempts"
    )
    assert sorted(tuple(row) for row in kept) == sorted(
        (each.key.task_id, each.epoch, each.attempt, each.status, each.worker_id, each.end_time)
        for each in ended
    )
