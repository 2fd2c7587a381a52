"""Commands for workflows: apply, publish, and their lifecycle."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.text import Text
from workflow_sdk.errors import InvalidRequestError, NotFoundError

from workflowctl.definition_file import DefinitionFile, is_file, load
from workflowctl.errors import CommandError, Problem, exit_code_of
from workflowctl.presentation.definition_diff import change_lines, changes
from workflowctl.presentation.details import workflow_status
from workflowctl.presentation.json_output import as_data, write_document
from workflowctl.presentation.marks import DONE
from workflowctl.session import Session, command

PANEL = "Workflows"
FileArgument = Annotated[str, typer.Argument(metavar="FILE", help="YAML or JSON; - is standard input.")]
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The workflow's id.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "apply", rich_help_panel=PANEL)(apply)
    command(app, "publish", rich_help_panel=PANEL)(publish)
    command(app, "activate", rich_help_panel=PANEL)(activate)
    command(app, "deactivate", rich_help_panel=PANEL)(deactivate)
    command(app, "archive", rich_help_panel=PANEL)(archive)


async def apply(
    session: Session,
    file: FileArgument,
    workflow_id: Annotated[str, typer.Option("--id", help="The workflow's id, if the file has none.")] = "",
) -> None:
    """Create a workflow's draft, or update it; tells what changed.

    The file has the fields of the definition, and `workflow_id` beside them. Nothing runs on a draft:
    publish it.
    """
    workflow = await _apply(session, load(file, workflow_id))
    if session.json:
        write_document(as_data(workflow))
    elif workflow.draft_changed:
        session.hint(f"next: workflowctl publish {workflow.workflow_id}")


async def publish(
    session: Session,
    target: Annotated[str, typer.Argument(metavar="FILE|ID", help="A workflow's id, or its file.")],
    workflow_id: Annotated[str, typer.Option("--id", help="The workflow's id, if the file has none.")] = "",
) -> None:
    """Make the draft the active version; a FILE is applied first.

    Everything is checked before; executions under way stay on their version.
    """
    if is_file(target):
        file = load(target, workflow_id)
        drafted = await _apply(session, file)
        try:
            workflow = await session.client.publish_workflow(file.workflow_id, etag=drafted.etag)
        except InvalidRequestError as error:
            raise _located(error, file) from None
    else:
        workflow = await session.client.publish_workflow(target)
    if session.json:
        write_document(as_data(workflow))
        return
    _say(session, workflow, f"active version {workflow.active_version}")
    session.hint(f"next: workflowctl start {workflow.workflow_id} --watch")


async def activate(session: Session, workflow_id: IdArgument) -> None:
    """Inactive to Active: executions may start again."""
    await _answer(session, await session.client.activate_workflow(workflow_id))


async def deactivate(session: Session, workflow_id: IdArgument) -> None:
    """Active to Inactive: nothing starts any more; what runs goes on."""
    await _answer(session, await session.client.deactivate_workflow(workflow_id))


async def archive(session: Session, workflow_id: IdArgument) -> None:
    """Read-only for good; its history stays, what runs goes on."""
    await _answer(session, await session.client.archive_workflow(workflow_id))


async def _apply(session: Session, file: DefinitionFile) -> Any:
    client = session.client
    try:
        try:
            present = await client.get_workflow(file.workflow_id, strong=True)
        except NotFoundError:
            created = await client.create_workflow(file.workflow_id, file.definition)
            _say(session, created, f"draft created, {_tasks(file.definition)}")
            return created
        if present.definition == file.definition:
            _say(session, present, "draft unchanged")
            return present
        updated = await client.update_workflow(file.workflow_id, file.definition, etag=present.etag)
    except InvalidRequestError as error:
        raise _located(error, file) from None
    _say(session, updated, "draft updated")
    if not session.json:
        for line in change_lines(changes(present.definition, updated.definition), session.out):
            session.out.print(line, soft_wrap=True)
    return updated


def _located(error: InvalidRequestError, file: DefinitionFile) -> CommandError:
    """What the catalog found wrong, by line and column of the file."""
    found = file.locate([Problem(violation.field, violation.description) for violation in error.violations])
    many = f"{len(found)} problems" if len(found) > 1 else "a problem"
    message = f"{file.source.name} has {many}" if found else error.message
    next_step = "correct the file and try again" if found else ""
    return CommandError(message, problems=found, next_step=next_step, code=exit_code_of(error))


def _tasks(definition: Any) -> str:
    number = len(definition.tasks)
    return f"{number} task" if number == 1 else f"{number} tasks"


async def _answer(session: Session, workflow: Any) -> None:
    if session.json:
        write_document(as_data(workflow))
    else:
        _say(session, workflow, "")


def _say(session: Session, workflow: Any, what: str) -> None:
    """`✔ orders  Active  version 2`, unless a script reads."""
    if session.json:
        return
    line = Text(f"{DONE.on(session.out)} ", style=DONE.style)
    line.append(workflow.workflow_id, style="bold default")
    line.append("  ").append_text(workflow_status(workflow))
    if what:
        line.append(f"  {what}", style="not bold default")
    session.out.print(line, soft_wrap=True)
