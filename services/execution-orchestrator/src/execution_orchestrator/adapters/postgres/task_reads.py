"""Reads of the task runs of one execution: with the execution, as a list, and counted by task."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Any
from uuid import UUID

from service_kit.data.postgres import Connection

from execution_orchestrator.adapters.postgres import task_reads_sql as task_sql
from execution_orchestrator.adapters.postgres.reads_rows import details_of, is_fan_out, summaries_of, tasks_of
from execution_orchestrator.adapters.postgres.reads_sql import EXECUTION_EXISTS, GET_EXECUTION_WITH_INPUT
from execution_orchestrator.application.ports.reads import MAX_READ_PAYLOAD_BYTES, ExecutionDetails
from execution_orchestrator.application.ports.task_runs import (
    MAX_LIST_ATTEMPTS,
    MAX_SUMMARY_RUNS,
    MAX_TASK_RUN_WALK,
    TaskChoice,
    TaskDetails,
    TaskRunFilter,
    TaskRunPage,
    TaskSummary,
)
from execution_orchestrator.domain.state_machine import TaskStatus
from execution_orchestrator.domain.task import NO_ITEM, TaskKey


async def get_full(
    connection: Connection,
    namespace: str,
    execution_id: UUID,
    *,
    task: TaskChoice | None,
    max_summary_runs: int = MAX_SUMMARY_RUNS,
) -> ExecutionDetails | None:
    """Return an execution in full, or only the runs of one task, as `Reads.get_execution` does."""
    statements, chosen = _chosen(task)
    # One snapshot for all statements, so that the tasks and their counts agree.
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        row = await connection.fetchrow(GET_EXECUTION_WITH_INPUT, execution_id, namespace)
        if row is None:
            return None
        tasks = await connection.fetch(statements.tasks, execution_id, *chosen)
        attempts = await connection.fetch(statements.attempts, execution_id, *chosen)
        outputs = await _fan_out_outputs(connection, execution_id, tasks)
        summaries: list[TaskSummary] = []
        if task is not None or row["tasks_total"] <= max_summary_runs:
            summaries = await _summaries(connection, execution_id, task)
    details = replace(details_of(row, tasks, attempts, outputs), summaries=summaries)
    if task is None:
        return details
    details.execution.output = None
    return replace(details, input=None)


def _chosen(task: TaskChoice | None) -> tuple[task_sql.TaskStatements, tuple[str | int, ...]]:
    """Return the statements for the tasks that a caller wants, and their further parameters."""
    if task is None:
        return task_sql.OF_ALL, ()
    if task.item is None:
        return task_sql.OF_TASK, (task.task_id,)
    return task_sql.OF_ITEM, (task.task_id, task.item)


async def _fan_out_outputs(
    connection: Connection, execution_id: UUID, tasks: Sequence[Any]
) -> dict[str, str | None]:
    """Return the outputs of fan-outs that succeeded: lists of their items' outputs. Only the items store
    them.
    """
    parents = [
        task["task_id"]
        for task in tasks
        if task["item"] == NO_ITEM and task["attempt"] == 0 and task["status"] == "SUCCEEDED"
    ]
    if not parents:
        return {}
    max_bytes = MAX_READ_PAYLOAD_BYTES // len(parents)
    rows = await connection.fetch(task_sql.FAN_OUT_OUTPUTS, execution_id, parents, max_bytes)
    outputs: dict[str, str | None] = {
        task["task_id"]: "[]" if task["next_item"] == 0 else None  # None is replaced below if the outputs fit
        for task in tasks
        if task["task_id"] in parents and task["item"] == NO_ITEM
    }
    return outputs | {row["task_id"]: row["output"] for row in rows}


async def _summaries(
    connection: Connection, execution_id: UUID, task: TaskChoice | None
) -> list[TaskSummary]:
    if task is None:
        return summaries_of(await connection.fetch(task_sql.SUMMARIES_OF_ALL, execution_id))
    if task.item is not None:
        return []
    return summaries_of(await connection.fetch(task_sql.SUMMARIES_OF_TASK, execution_id, task.task_id))


async def task_page(
    connection: Connection,
    where: TaskRunFilter,
    after: TaskKey,
    limit: int,
    *,
    max_walk: int = MAX_TASK_RUN_WALK,
    max_attempts: int = MAX_LIST_ATTEMPTS,
) -> TaskRunPage | None:
    """Return a page of task runs, as `Reads.list_task_runs` does."""
    of_task = bool(where.task_id)
    statement = task_sql.list_task_runs(
        of_task=of_task, sparse=where.sparse, full=where.full, max_walk=max_walk, max_attempts=max_attempts
    )
    place = (where.execution_id, *after)
    filters = (list(where.statuses) or None, where.min_attempt) if where.sparse else ()
    # One snapshot for all statements, so that attempts and task runs belong together.
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(task_sql.LIST_SETTINGS)
        row = await connection.fetchrow(
            task_sql.EXECUTION_INPUT if where.full else EXECUTION_EXISTS, where.execution_id, where.namespace
        )
        if row is None:
            return None
        rows = await connection.fetch(statement, *place, limit + 1, *filters)
        end = None
        if where.sparse and len(rows) <= limit:
            end = await connection.fetchrow(task_sql.walk_end(of_task=of_task, max_walk=max_walk), *place)
        attempts = await _attempts_of_page(connection, where.execution_id, rows) if where.full else []
    runs = tasks_of(rows[:limit], attempts, row[0] if where.full else None, {})
    page = _whole(runs) if where.full else runs
    if len(page) < len(runs) or (rows and rows[0]["found"] > len(runs)):
        return TaskRunPage(page, page[-1].run.key)
    return TaskRunPage(page, None if end is None else TaskKey(end["task_id"], end["item"]))


async def _attempts_of_page(connection: Connection, execution_id: UUID, rows: Sequence[Any]) -> list[Any]:
    task_ids, items = [row["task_id"] for row in rows], [row["item"] for row in rows]
    return list(await connection.fetch(task_sql.ATTEMPTS_OF_PAGE, execution_id, task_ids, items))


def _whole(runs: Sequence[TaskDetails]) -> list[TaskDetails]:
    """Return the first task runs that were read completely, and at least one.

    The next page has the others. The run of a whole fan-out has no output, because its items have them.
    """
    page = [*runs[:1], *takewhile(lambda each: not each.left_out, runs[1:])]
    return [replace(each, left_out=True) if _has_outputs_of_items(each) else each for each in page]


def _has_outputs_of_items(task: TaskDetails) -> bool:
    run = task.run
    return is_fan_out(run) and run.status is TaskStatus.SUCCEEDED and run.next_item > 0
