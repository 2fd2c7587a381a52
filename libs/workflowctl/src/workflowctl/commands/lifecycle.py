"""Commands that change a workflow's status: activate, deactivate, archive, delete."""

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
YesOption = Annotated[
    bool, typer.Option("--yes", "-y", help="Answer yes to the question. Scripts need this.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    command(app, "activate", rich_help_panel=PANEL)(activate)
    command(app, "deactivate", rich_help_panel=PANEL)(deactivate)
    command(app, "archive", rich_help_panel=PANEL)(archive)
    command(app, "delete", rich_help_panel=PANEL)(delete)


async def activate(session: Session, workflow_id: IdArgument) -> None:
    """Activate an Inactive workflow, so that executions can start again."""
    workflow = (await session.client.activate_workflow(workflow_id)).message
    answer(session, workflow, f"executions start on version {workflow.active_version}")


async def deactivate(session: Session, workflow_id: IdArgument) -> None:
    """Deactivate an Active workflow: no execution starts any more. Show how many executions continue."""
    workflow = (await session.client.deactivate_workflow(workflow_id)).message
    usage = None if session.json else await usage_of(session.client, workflow_id)
    answer(session, workflow, f"no execution starts any more; {_still_running(usage)}")
    session.hint(f"next: workflowctl list --workflow {workflow_id} --status running")


async def archive(session: Session, workflow_id: IdArgument, yes: YesOption = False) -> None:
    """Archive a workflow permanently. Its history stays readable, and running executions continue.

    Ask before, unless --yes is given.
    """
    workflow = await session.client.get_workflow(workflow_id)
    usage = None if session.json else await usage_of(session.client, workflow_id)
    if workflow.status != WorkflowStatus.ARCHIVED:
        question = f"archive {workflow_id} permanently, so that it never starts or changes again?"
        session.confirm(f"{_still_running(usage)}: {question}", yes)
    archived = await session.client.archive_workflow(workflow_id)
    answer(session, archived.message, f"permanently read-only; {_still_running(usage)}")


async def delete(session: Session, workflow_id: IdArgument, yes: YesOption = False) -> None:
    """Permanently delete a draft that was never published. Ask before, unless --yes is given."""
    workflow = await session.client.get_workflow(workflow_id, strong=True)
    if workflow.status == WorkflowStatus.DRAFT:
        session.confirm(f"permanently delete the draft {workflow_id}?", yes)
    await session.client.delete_workflow(workflow_id, etag=workflow.etag)
    if session.json:
        write_document({"workflow_id": workflow_id, "deleted": True})
    else:
        print_line(session.out, Text(f"{DONE.on(session.out)} {workflow_id}  deleted"))


def _still_running(usage: WorkflowUsage | None) -> str:
    if usage is None:
        return "cannot tell how many executions are still running: the orchestrator does not answer"
    return (
        f"{in_flight_text(usage.versions)}, which continue"
        if usage.versions
        else "no execution of it runs now"
    )
