"""Commands that only read: get, list, queues."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, TypeVar
from uuid import UUID

import typer
from rich.text import Text
from workflow_sdk.statuses import ExecutionStatus, WorkflowStatus

from workflowctl.commands.executions import labels_of
from workflowctl.commands.task_runs import get_task, with_items_in_trouble
from workflowctl.errors import CommandError
from workflowctl.presentation.details import execution_page, workflow_page
from workflowctl.presentation.json_output import as_data, write_document
from workflowctl.presentation.tables import executions_table, queues_table, workflows_table
from workflowctl.session import Session, command

PANEL = "Looking"
MAX_LISTED = 10_000
MAX_ITEM = 2**31 - 1
Value = TypeVar("Value")
KINDS = ("execution", "workflow")


class Listed(StrEnum):
    """The kinds of things that `list` can list."""

    EXECUTIONS = "executions"
    WORKFLOWS = "workflows"


EXECUTION_STATUSES = {s.name: s.value for s in ExecutionStatus if s is not ExecutionStatus.UNKNOWN}
WORKFLOW_STATUSES = {s.name: s.value for s in WorkflowStatus if s is not WorkflowStatus.UNKNOWN}
StatusChoice = StrEnum(  # type: ignore[misc]
    "StatusChoice",
    {**EXECUTION_STATUSES, **WORKFLOW_STATUSES},
)


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    command(app, "get", rich_help_panel=PANEL)(get)
    command(app, "list", rich_help_panel=PANEL)(list_)
    command(app, "queues", rich_help_panel=PANEL)(queues)


async def get(
    session: Session,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[execution|workflow] ID",
            help="An execution id or a workflow id; the format tells which.",
        ),
    ],
    task_id: Annotated[
        str, typer.Option("--task", help="Only this task: its input, output, failure and attempts.")
    ] = "",
    item: Annotated[
        int | None, typer.Option("--item", min=0, max=MAX_ITEM, help="Only this item of the fan-out --task.")
    ] = None,
) -> None:
    """Show one execution with its tasks, one task of it, or one workflow with its draft."""
    kind, identity = _kind_and_id(words)
    if (task_id and kind == "workflow") or (item is not None and not task_id):
        raise CommandError("--task chooses a task of an execution, and --item an item of this task")
    if task_id:
        await get_task(session, identity, task_id, item)
        return
    if kind == "workflow":
        workflow = (await session.client.get_workflow(identity)).message
        if session.json:
            write_document(as_data(workflow))
        else:
            session.out.print(workflow_page(workflow, session.out))
        return
    execution = await session.client.get(identity, full=True)
    if session.json:
        write_document(as_data(execution.message))
    else:
        shown = await with_items_in_trouble(session, execution)
        session.out.print(execution_page(shown, session.out))


async def list_(
    session: Session,
    what: Annotated[Listed, typer.Argument(help="The kind of things to list.")] = Listed.EXECUTIONS,
    workflow_id: Annotated[str, typer.Option("--workflow", help="Only executions of this workflow.")] = "",
    statuses: Annotated[
        list[StatusChoice] | None,
        typer.Option("--status", "-s", case_sensitive=False, help="Only with this status. May be repeated."),
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option("--label", "-l", help="Only with this label: key=value. May be repeated."),
    ] = None,
    owner: Annotated[str, typer.Option("--owner", help="Only workflows of exactly this owner.")] = "",
    prefix: Annotated[
        str, typer.Option("--prefix", help="Only workflows whose id begins with this text.")
    ] = "",
    quarantined: Annotated[
        bool, typer.Option("--quarantined", help="Only executions that are quarantined.")
    ] = False,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=MAX_LISTED, help="Show at most this many.")
    ] = 20,
) -> None:
    """List executions, the newest first, or workflows, sorted by id."""
    names = [status.name for status in statuses or []]
    if what is Listed.WORKFLOWS:
        if workflow_id or quarantined:
            option = "--workflow" if workflow_id else "--quarantined"
            raise CommandError(f"{option} chooses executions; workflows have --prefix, --owner and --label")
        chosen = [WorkflowStatus(_known(name, WORKFLOW_STATUSES, "workflows")) for name in names]
        await _list_workflows(session, limit, chosen, labels_of(labels or []), owner, prefix)
        return
    if owner or prefix:
        raise CommandError("--owner and --prefix choose workflows: workflowctl list workflows")
    words = [_known(name, EXECUTION_STATUSES, "executions") for name in names]
    found = []
    async for execution in session.client.list(
        workflow_id=workflow_id,
        statuses=[ExecutionStatus(word) for word in words],
        labels=labels_of(labels or []),
        quarantined=quarantined,
        page_size=min(limit, 1_000),
    ):
        found.append(execution)
        if len(found) == limit:
            break
    if session.json:
        write_document({"executions": [as_data(execution.message) for execution in found]})
    elif found:
        session.out.print(executions_table(found, session.out))
    elif quarantined:
        session.hint("no execution is quarantined")
    else:
        session.hint("there is no execution; start one: workflowctl start WORKFLOW_ID")


async def queues(
    session: Session,
    queue: Annotated[str, typer.Argument(help="Only this queue.")] = "",
) -> None:
    """Show how many jobs wait in each queue for a worker."""
    stats = await session.client.queue_stats(queue)
    if session.json:
        rows = [
            {"queue": q.queue, "length": q.length, "oldest_age_seconds": q.oldest_age_seconds} for q in stats
        ]
        write_document({"queues": rows})
    elif stats:
        session.out.print(queues_table(stats))
    else:
        session.out.print(Text("no job waits", style="dim"))


def _known(name: str, statuses: Mapping[str, Value], kind: str) -> Value:
    if name not in statuses:
        names = ", ".join(each.lower() for each in statuses)
        raise CommandError(f"{kind} are never {name.capitalize()}: --status is one of {names}")
    return statuses[name]


async def _list_workflows(
    session: Session, limit: int, statuses: list[Any], labels: Mapping[str, str], owner: str, prefix: str
) -> None:
    found = []
    async for workflow in session.client.list_workflows(
        statuses=statuses,
        labels=labels,
        owner=owner,
        workflow_id_prefix=prefix,
        page_size=min(limit, 1_000),
    ):
        found.append(workflow.message)
        if len(found) == limit:
            break
    if session.json:
        write_document({"workflows": [as_data(workflow) for workflow in found]})
    elif found:
        session.out.print(workflows_table(found))
    else:
        chosen = statuses or labels or owner or prefix
        session.hint(
            "no workflow matches; remove a filter"
            if chosen
            else "there is no workflow; make one: workflowctl publish FILE"
        )


def _kind_and_id(words: list[str]) -> tuple[str, str]:
    if len(words) == 2 and words[0].rstrip("s") in KINDS:
        return words[0].rstrip("s"), words[1]
    if len(words) != 1:
        raise CommandError(f"get takes an id, or {' or '.join(KINDS)} and an id")
    try:
        return "execution", str(UUID(words[0]))
    except ValueError:
        return "workflow", words[0]
