"""Show an error as a paragraph, or as a document for scripts: what is wrong, where, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.text import Text

from workflowctl.errors import CommandError
from workflowctl.presentation.consoles import print_line


def print_error(error: CommandError, console: Console) -> None:
    """Print the error on the console for standard error."""
    for line in error_lines(error):
        print_line(console, line)


def error_lines(error: CommandError) -> Iterator[Text]:
    """Return the lines of the paragraph."""
    yield Text("error: ", style="bold red").append(error.message, style="not bold default")
    width = max((len(problem.place) for problem in error.problems), default=0)
    for problem in error.problems:
        if problem.place and problem.place in error.message and problem.text in error.message:
            continue  # the service said it in its sentence
        line = Text(f"  {problem.place:<{width}}  ", style="cyan")
        yield line.append(problem.text, style="default")
    if error.next_step:
        yield Text("next: ", style="bold").append(error.next_step, style="not bold")


def error_document(error: CommandError) -> dict[str, Any]:
    """Return the error as data for scripts, with the exit code.

    With `-o json` it is a line of standard error.
    """
    problems = [
        {"place": problem.place, "field": problem.path, "description": problem.description}
        for problem in error.problems
    ]
    return {
        "error": {
            "message": error.message,
            "problems": problems,
            "next_step": error.next_step,
            "exit_code": int(error.code),
        }
    }
