"""Commands for the task runs of an execution: tasks, and get with --task."""

from __future__ import annotations

import dataclasses
from enum import StrEnum
from typing import Annotated

import typer
from workflow_sdk.models import Execution
from workflowsystem.execution.v1 import execution_pb2

from workflowctl.commands.executions import ExecutionArgument
from workflowctl.errors import CommandError
from workflowctl.exit_codes import ExitCode
from workflowctl.presentation.json_output import as_data, write_document
from workflowctl.presentation.task_pages import task_run_page, task_runs_table, task_table
from workflowctl.session import Session, command

PANEL = "Looking"
MAX_LISTED = 10_000
MAX_TROUBLED = 50
"""How many items in trouble `get` reads in addition to the task runs that fit its answer."""

TaskStatusChoice = StrEnum(  # type: ignore[misc]
    "TaskStatusChoice",
    {
        name: name.lower()
        for name in (
            n.removeprefix("TASK_STATUS_") for n, number in execution_pb2.TaskStatus.items() if number
        )
    },
)


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    command(app, "tasks", rich_help_panel=PANEL)(tasks)


async def tasks(
    session: Session,
    execution_id: ExecutionArgument,
    task_id: Annotated[
        str, typer.Option("--task", help="Only this task, with the items of its fan-out.")
    ] = "",
    statuses: Annotated[
        list[TaskStatusChoice] | None,
        typer.Option("--status", "-s", case_sensitive=False, help="Only with this status. May be repeated."),
    ] = None,
    retried: Annotated[
        bool, typer.Option("--retried", help="Only task runs that needed more than one attempt.")
    ] = False,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=MAX_LISTED, help="Show at most this many.")
    ] = 100,
) -> None:
    """List the task runs of an execution: every task, and every item of a fan-out."""
    found = []
    async for run in session.client.task_runs(
        execution_id,
        task_id=task_id,
        statuses=[status.name for status in statuses or []],
        min_attempt=2 if retried else 0,
        full=True,
        page_size=min(limit, 1_000),
    ):
        found.append(run)
        if len(found) == limit:
            break
    if session.json:
        write_document({"task_runs": [as_data(run.message) for run in found]})
    elif found:
        session.out.print(task_runs_table(found, session.out))
        session.hint(f"one of them: workflowctl get {execution_id} --task TASK --item ITEM")
    else:
        session.hint(
            "no task run matches; remove a filter" if task_id or statuses or retried else "no task run"
        )


async def get_task(session: Session, execution_id: str, task_id: str, item: int | None) -> None:
    """Show one task of an execution, or one item of its fan-out. Raise CommandError if it does not exist."""
    execution = await session.client.get(execution_id, task_id=task_id, item=item)
    if not execution.tasks:
        what = f"task `{task_id}`" if item is None else f"item {item} of task `{task_id}`"
        raise CommandError(
            f"execution {execution_id} has no {what}",
            next_step=f"workflowctl tasks {execution_id}",
            code=ExitCode.NOT_FOUND,
        )
    if session.json:
        write_document(as_data(execution.message))
        return
    if len(execution.tasks) == 1:
        session.out.print(task_run_page(execution_id, execution.tasks[0], session.out))
        return
    session.out.print(task_table(execution, session.out))
    session.hint(f"its items: workflowctl tasks {execution_id} --task {task_id}; one: get ... --item ITEM")


async def with_items_in_trouble(session: Session, execution: Execution) -> Execution:
    """Return the execution with items that failed or wait for an attempt, and had no room in the answer."""
    if execution.task_counts.total <= len(execution.tasks):
        return execution
    known = {(run.task_id, run.item) for run in execution.tasks}
    more = []
    async for run in session.client.task_runs(
        execution.execution_id, statuses=["FAILED", "BACKING_OFF"], full=True, page_size=MAX_TROUBLED
    ):
        if (run.task_id, run.item) not in known:
            more.append(run)
        if len(more) == MAX_TROUBLED:
            break
    return dataclasses.replace(execution, tasks=(*execution.tasks, *more))
