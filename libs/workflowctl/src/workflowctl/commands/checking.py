"""Commands that check and compare definitions, and write nothing: validate, diff."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from workflow_sdk.errors import UnavailableError

from workflowctl.bounds import MAX_VERSION
from workflowctl.commands.answers import say_difference
from workflowctl.commands.workflows import PANEL, FileArgument, IdOption
from workflowctl.definition_file import DefinitionFile, inspect, is_file, load
from workflowctl.errors import CommandError, Problem, from_sdk
from workflowctl.exit_codes import ExitCode
from workflowctl.presentation.consoles import print_line
from workflowctl.presentation.json_output import as_data, write_document
from workflowctl.presentation.report_text import counted, error_count, problem_lines, verdict
from workflowctl.reports import as_rows, validated
from workflowctl.session import Session, command

OFFLINE_NOTE = "without the catalog: only fields and their types were checked"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "validate", rich_help_panel=PANEL)(validate)
    command(app, "diff", rich_help_panel=PANEL)(diff)


async def validate(
    session: Session,
    file: FileArgument,
    workflow_id: IdOption = "",
    offline: Annotated[
        bool, typer.Option("--offline", help="Check only what needs no server: fields and their types.")
    ] = False,
) -> ExitCode:
    """Find every problem of a workflow's file at once, by line and column; nothing is written.

    Exit code 0 also with warnings; 2 where the file breaks the contract, 4 where the catalog finds an error.
    """
    inspected = inspect(file, workflow_id)
    if offline:
        _tell_problems(session, inspected, list(inspected.problems), None, OFFLINE_NOTE)
        return ExitCode.USAGE if inspected.problems else ExitCode.OK
    try:
        problems, report = await validated(session.client, inspected)
    except UnavailableError as error:
        raise _unreachable(session, inspected, file, error) from None
    _tell_problems(session, inspected, problems, report, "")
    if inspected.problems:
        return ExitCode.USAGE
    return ExitCode.REFUSED if error_count(problems) else ExitCode.OK


def _unreachable(
    session: Session, inspected: DefinitionFile, file: str, error: UnavailableError
) -> CommandError:
    """What was found without the gateway is told all the same."""
    told = from_sdk(error, session.address)
    name = inspected.source.name
    number = len(inspected.problems)
    many = f"; {name} has {counted(number, 'problem')} so far" if number else ""
    return CommandError(
        told.message + many,
        problems=inspected.problems,
        next_step=f"{told.next_step or 'try again'}; or check fields and types alone: "
        f"workflowctl validate {file} --offline",
        code=told.code,
    )


def _tell_problems(
    session: Session, file: DefinitionFile, problems: list[Problem], report: Any, note: str
) -> None:
    if session.json:
        document = {
            "workflow_id": file.workflow_id,
            "valid": not error_count(problems),
            "problems": as_rows(problems, file),
            "report": None if report is None else as_data(report),
        }
        write_document(document)
        return
    for line in problem_lines(problems):
        print_line(session.out, line)
    tasks = len(file.definition.tasks)
    print_line(session.out, verdict(file.source.name, problems, tasks, session.out, note))
    if not error_count(problems) and not note:
        session.hint(f"next: workflowctl publish {file.source.name} --dry-run")


async def diff(
    session: Session,
    target: Annotated[str, typer.Argument(metavar="FILE|ID", help="A workflow's file, or its id.")],
    workflow_id: IdOption = "",
    base: Annotated[int, typer.Option("--from", min=0, max=MAX_VERSION, help="This version; 0: active.")] = 0,
    other: Annotated[
        int, typer.Option("--to", min=0, max=MAX_VERSION, help="To this version; 0: draft.")
    ] = 0,
) -> None:
    """Show what differs: a FILE from the active version, a draft from it, or two versions.

    PATCH is the same work; MINOR other work; MAJOR no longer accepts an input that was accepted.
    """
    if is_file(target):
        if base or other:
            raise CommandError(
                "--from and --to are for two versions of an ID; a FILE is compared with the active version"
            )
        file = load(target, workflow_id)
        report = (await session.client.validate_workflow(file.workflow_id, file.definition)).message
        _tell_difference(session, file.workflow_id, report.difference, file.source.name)
        if not report.valid:
            session.hint(f"it cannot be published as it is; next: workflowctl validate {target}")
        return
    difference = (await session.client.compare_workflow_versions(target, base, other)).message
    name = f"version {difference.target_version}" if difference.target_version else "draft"
    _tell_difference(session, target, difference, name)


def _tell_difference(session: Session, workflow_id: str, difference: Any, target: str) -> None:
    if session.json:
        write_document(as_data(difference))
    else:
        say_difference(session, workflow_id, difference, target)
