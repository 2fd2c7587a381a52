"""Commands for a workflow's life: activate, deactivate, archive, delete."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text
from workflow_sdk.statuses import WorkflowStatus
from workflow_sdk.usage import WorkflowUsage

from workflowctl.commands.answers import answer
from workflowctl.presentation.consoles import print_line
from workflowctl.presentation.json_output import write_document
from workflowctl.presentation.marks import DONE
from workflowctl.presentation.report_text import in_flight_text
from workflowctl.reports import usage_of
from workflowctl.session import Session, command

PANEL = "Workflows"
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The workflow's id.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; scripts need it.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "activate", rich_help_panel=PANEL)(activate)
    command(app, "deactivate", rich_help_panel=PANEL)(deactivate)
    command(app, "archive", rich_help_panel=PANEL)(archive)
    command(app, "delete", rich_help_panel=PANEL)(delete)


async def activate(session: Session, workflow_id: IdArgument) -> None:
    """Inactive to Active: executions may start again."""
    workflow = (await session.client.activate_workflow(workflow_id)).message
    answer(session, workflow, f"executions start on version {workflow.active_version}")


async def deactivate(session: Session, workflow_id: IdArgument) -> None:
    """Active to Inactive: nothing starts any more; what runs goes on, and it says how much that is."""
    workflow = (await session.client.deactivate_workflow(workflow_id)).message
    usage = None if session.json else await usage_of(session.client, workflow_id)
    answer(session, workflow, f"nothing starts any more; {_runs_on(usage)}")
    session.hint(f"next: workflowctl list --workflow {workflow_id} --status running")


async def archive(session: Session, workflow_id: IdArgument, yes: YesOption = False) -> None:
    """Read-only for good; its history stays, what runs goes on. Asks first, or needs --yes."""
    workflow = await session.client.get_workflow(workflow_id)
    usage = None if session.json else await usage_of(session.client, workflow_id)
    if workflow.status != WorkflowStatus.ARCHIVED:
        question = f"archive {workflow_id} for good, so that it never starts or changes again?"
        session.confirm(f"{_runs_on(usage)}: {question}", yes)
    archived = await session.client.archive_workflow(workflow_id)
    answer(session, archived.message, f"read-only for good; {_runs_on(usage)}")


async def delete(session: Session, workflow_id: IdArgument, yes: YesOption = False) -> None:
    """Remove a draft that was never published, for good. Asks first, or needs --yes."""
    workflow = await session.client.get_workflow(workflow_id, strong=True)
    if workflow.status == WorkflowStatus.DRAFT:
        session.confirm(f"delete the draft {workflow_id} for good?", yes)
    await session.client.delete_workflow(workflow_id, etag=workflow.etag)
    if session.json:
        write_document({"workflow_id": workflow_id, "deleted": True})
    else:
        print_line(session.out, Text(f"{DONE.on(session.out)} {workflow_id}  deleted"))


def _runs_on(usage: WorkflowUsage | None) -> str:
    if usage is None:
        return "how many executions run on is not known, as the orchestrator does not answer"
    return f"{in_flight_text(usage.versions)}, which run on" if usage.versions else "nothing of it runs now"
