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
    """Add the commands to the app."""
    command(app, "validate", rich_help_panel=PANEL)(validate)
    command(app, "diff", rich_help_panel=PANEL)(diff)


async def validate(
    session: Session,
    file: FileArgument,
    workflow_id: IdOption = "",
    offline: Annotated[
        bool, typer.Option("--offline", help="Check only fields and their types, without the gateway.")
    ] = False,
) -> ExitCode:
    """Find all problems of a workflow's file, by line and column. Write nothing.

    The exit code is 0 if there are only warnings, 2 if the file breaks the contract, and 4 if the catalog
    finds an error.
    """
    inspected = inspect(file, workflow_id)
    if offline:
        _print_problems(session, inspected, list(inspected.problems), None, OFFLINE_NOTE)
        return ExitCode.USAGE if inspected.problems else ExitCode.OK
    try:
        problems, report = await validated(session.client, inspected)
    except UnavailableError as error:
        raise _unreachable(session, inspected, file, error) from None
    _print_problems(session, inspected, problems, report, "")
    if inspected.problems:
        return ExitCode.USAGE
    return ExitCode.REFUSED if error_count(problems) else ExitCode.OK


def _unreachable(
    session: Session, inspected: DefinitionFile, file: str, error: UnavailableError
) -> CommandError:
    """Return an error that also names the problems found without the gateway."""
    answer = from_sdk(error, session.address)
    name = inspected.source.name
    number = len(inspected.problems)
    many = f"; {name} has {counted(number, 'problem')} so far" if number else ""
    return CommandError(
        answer.message + many,
        problems=inspected.problems,
        next_step=f"{answer.next_step or 'try again'}; or check fields and types alone: "
        f"workflowctl validate {file} --offline",
        code=answer.code,
    )


def _print_problems(
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
    base: Annotated[
        int,
        typer.Option(
            "--from", min=0, max=MAX_VERSION, help="The version to compare with. 0: the active version."
        ),
    ] = 0,
    other: Annotated[
        int, typer.Option("--to", min=0, max=MAX_VERSION, help="The version to compare. 0: the draft.")
    ] = 0,
) -> None:
    """Show the changes from the active version to a FILE or a draft, or between two versions.

    PATCH: the tasks do the same work. MINOR: the tasks do other work. MAJOR: an input that was accepted may
    be refused.
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
            session.hint(f"it has errors, so it cannot be published; next: workflowctl validate {target}")
        return
    difference = (await session.client.compare_workflow_versions(target, base, other)).message
    name = f"version {difference.target_version}" if difference.target_version else "draft"
    _tell_difference(session, target, difference, name)


def _tell_difference(session: Session, workflow_id: str, difference: Any, target: str) -> None:
    if session.json:
        write_document(as_data(difference))
    else:
        say_difference(session, workflow_id, difference, target)
