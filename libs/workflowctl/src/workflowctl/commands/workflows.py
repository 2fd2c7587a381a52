"""Commands that write definitions: apply, publish."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from workflow_sdk.errors import InvalidRequestError, NotFoundError
from workflow_sdk.statuses import enum_word
from workflowsystem.catalog.v1 import workflow_pb2

from workflowctl.commands.answers import answer, located, say, say_difference
from workflowctl.definition_file import DefinitionFile, inspect, is_file, load
from workflowctl.errors import Problem
from workflowctl.exit_codes import ExitCode
from workflowctl.next_steps import as_typed
from workflowctl.presentation.consoles import print_line
from workflowctl.presentation.definition_diff import class_word
from workflowctl.presentation.json_output import as_data, write_document
from workflowctl.presentation.report_text import (
    error_count,
    impact_lines,
    is_unchanged,
    missing_worker_lines,
    problem_lines,
    publish_verdict,
    task_types,
)
from workflowctl.reports import as_rows, draft_problems, report_problems, usage_of, validated
from workflowctl.session import Session, command

PANEL = "Workflows"
FileArgument = Annotated[
    str, typer.Argument(metavar="FILE", help="A YAML or JSON file; - is standard input.")
]
IdOption = Annotated[
    str, typer.Option("--id", help="The workflow's id. Needed if the file has no workflow_id.")
]
_NOT_PUBLISHABLE = {
    workflow_pb2.WORKFLOW_STATUS_INACTIVE: "is Inactive: run `workflowctl activate {}` first",
    workflow_pb2.WORKFLOW_STATUS_ARCHIVED: "is Archived, which is permanent: publish under another id",
}


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    command(app, "apply", rich_help_panel=PANEL)(apply)
    command(app, "publish", rich_help_panel=PANEL)(publish)


async def apply(session: Session, file: FileArgument, workflow_id: IdOption = "") -> None:
    """Create or update a workflow's draft, and show the changes from the active version.

    The file has the fields of the definition, and `workflow_id` beside them. Executions do not use a draft:
    publish it first.
    """
    definition_file = load(file, workflow_id)
    workflow = await _save(session, definition_file)
    if session.json:
        write_document(as_data(workflow))
        return
    if not workflow.draft_changed:
        return
    checked = await session.client.validate_workflow(workflow.workflow_id, definition_file.definition)
    report = checked.message
    if report.difference.base_version:
        say_difference(session, workflow.workflow_id, report.difference, "draft")
    if report.valid:
        session.hint(f"next: workflowctl publish {workflow.workflow_id} --dry-run")
    else:
        session.hint(f"it has errors, so it cannot be published; next: workflowctl validate {file}")


async def publish(
    session: Session,
    target: Annotated[str, typer.Argument(metavar="FILE|ID", help="A workflow's id, or its file.")],
    workflow_id: IdOption = "",
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show the problems, changes and affected executions. Write nothing."),
    ] = False,
) -> ExitCode | None:
    """Make the draft the active version. With a FILE, apply the file first.

    The catalog checks everything before. Running executions keep their version. With --dry-run, nothing is
    written: the command shows every problem, the changes from the active version, and the executions that run
    now.
    """
    if dry_run:
        return await (_try_file if is_file(target) else _try_draft)(session, target, workflow_id)
    file = load(target, workflow_id) if is_file(target) else None
    workflow = await (
        session.client.publish_workflow(target) if file is None else _publish_file(session, file)
    )
    await _tell_published(session, workflow.message, file)
    return None


async def _publish_file(session: Session, file: DefinitionFile) -> Any:
    drafted = await _save(session, file)
    try:
        return await session.client.publish_workflow(file.workflow_id, etag=drafted.etag)
    except InvalidRequestError as error:
        raise located(error, file) from None


async def _tell_published(session: Session, workflow: Any, file: DefinitionFile | None) -> None:
    report = workflow.report
    if not session.json:
        warnings = draft_problems(report) if file is None else file.locate(report_problems(report))
        for line in problem_lines(warnings):
            print_line(session.out, line)
    if is_unchanged(report):
        answer(session, workflow, f"unchanged: version {workflow.active_version} is the same already")
        return
    change = f", {class_word(report.difference)}" if report.difference.base_version else ""
    answer(session, workflow, f"active version {workflow.active_version}{change}")
    if not session.json:
        usage = await usage_of(session.client, workflow.workflow_id, task_types(workflow.definition))
        for line in missing_worker_lines(usage):
            print_line(session.out, line)
    session.hint(f"next: workflowctl start {workflow.workflow_id} --watch")


async def _try_file(session: Session, target: str, workflow_id: str) -> ExitCode:
    file = inspect(target, workflow_id)
    problems, report = await validated(session.client, file)
    try:
        present = (await session.client.get_workflow(file.workflow_id)).message
    except NotFoundError:
        present = workflow_pb2.Workflow(workflow_id=file.workflow_id)
    if present.status in _NOT_PUBLISHABLE:
        why = _NOT_PUBLISHABLE[present.status].format(file.workflow_id)
        problems.append(Problem(file.source.name, as_typed(f"{file.workflow_id} {why}", session.options)))
    return await _tell_trial(session, present, file.definition, problems, report, file)


async def _try_draft(session: Session, target: str, _: str) -> ExitCode:
    workflow = (await session.client.publish_workflow(target, dry_run=True)).message
    problems = draft_problems(workflow.report)
    return await _tell_trial(session, workflow, workflow.definition, problems, workflow.report, None)


async def _tell_trial(
    session: Session,
    workflow: Any,
    definition: Any,
    problems: list[Problem],
    report: Any,
    file: DefinitionFile | None,
) -> ExitCode:
    usage = await usage_of(session.client, workflow.workflow_id, task_types(definition))
    code = ExitCode.REFUSED if error_count(problems) else ExitCode.OK
    if session.json:
        document = {
            "workflow_id": workflow.workflow_id,
            "status": enum_word(workflow_pb2.WorkflowStatus, workflow.status),
            "publishable": code is ExitCode.OK,
            "problems": as_rows(problems, file),
            "report": None if report is None else as_data(report),
            "usage": None if usage is None else as_data(usage.message),
        }
        write_document(document)
        return code
    lines = list(problem_lines(problems))
    for line in lines:
        print_line(session.out, line)
    if report is not None:
        say_difference(
            session, workflow.workflow_id, report.difference, file.source.name if file else "draft"
        )
    for line in impact_lines(usage):
        print_line(session.out, line)
    print_line(session.out, publish_verdict(workflow, problems, report, session.out))
    return code


async def _save(session: Session, file: DefinitionFile) -> Any:
    client = session.client
    try:
        try:
            present = (await client.get_workflow(file.workflow_id, strong=True)).message
        except NotFoundError:
            created = (await client.create_workflow(file.workflow_id, file.definition)).message
            say(session, created, f"draft created, {_tasks(file.definition)}")
            return created
        if present.definition == file.definition:
            say(session, present, "draft unchanged")
            return present
        saved = await client.update_workflow(file.workflow_id, file.definition, etag=present.etag)
        updated = saved.message
    except InvalidRequestError as error:
        raise located(error, file) from None
    say(session, updated, "draft updated")
    return updated


def _tasks(definition: Any) -> str:
    number = len(definition.tasks)
    return f"{number} task" if number == 1 else f"{number} tasks"
