"""Print the answers of commands for workflows: a line for the workflow, its changes, and what they affect."""

from __future__ import annotations

from typing import Any

from rich.text import Text
from workflow_sdk.errors import InvalidRequestError

from workflowctl.definition_file import DefinitionFile
from workflowctl.errors import CommandError, Problem, exit_code_of
from workflowctl.presentation.consoles import print_line
from workflowctl.presentation.definition_diff import change_lines, difference_head
from workflowctl.presentation.details import workflow_status
from workflowctl.presentation.json_output import as_data, write_document
from workflowctl.presentation.marks import DONE
from workflowctl.session import Session


def say(session: Session, workflow: Any, what: str = "") -> None:
    """Print `✔ orders  Active  version 2`, unless a script reads the output."""
    if session.json:
        return
    line = Text(f"{DONE.on(session.out)} ", style=DONE.style)
    line.append(workflow.workflow_id, style="bold default")
    line.append("  ").append_text(workflow_status(workflow))
    if what:
        line.append(f"  {what}", style="not bold default")
    print_line(session.out, line)


def answer(session: Session, workflow: Any, what: str = "") -> None:
    """Print the line for a person, or the workflow as a document for a script."""
    if session.json:
        write_document(as_data(workflow))
    else:
        say(session, workflow, what)


def say_difference(session: Session, workflow_id: str, difference: Any, target: str) -> None:
    """Print the head line and every change."""
    print_line(session.out, difference_head(workflow_id, difference, target, session.out))
    if difference.base_version:
        for line in change_lines(difference.changes, session.out):
            print_line(session.out, line)


def located(error: InvalidRequestError, file: DefinitionFile) -> CommandError:
    """Return an error with the problems that the catalog found, by line and column of the file."""
    found = file.locate([Problem(violation.field, violation.description) for violation in error.violations])
    many = f"{len(found)} problems" if len(found) > 1 else "a problem"
    message = f"{file.source.name} has {many}" if found else error.message
    next_step = "correct the file and try again" if found else ""
    return CommandError(message, problems=found, next_step=next_step, code=exit_code_of(error))
