"""Build `workflowctl`: the app with all commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from workflowctl.commands import (
    checking,
    definitions,
    executions,
    lifecycle,
    reading,
    task_runs,
    workers,
    workflows,
)
from workflowctl.errors import CommandError
from workflowctl.exit_codes import TABLE, ExitCode
from workflowctl.presentation import consoles
from workflowctl.presentation.error_text import print_error

app = typer.Typer(
    name="workflowctl",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=TABLE,
)
workflows.register(app)
checking.register(app)
lifecycle.register(app)
executions.register(app)
reading.register(app)
workers.register(app)
task_runs.register(app)
definitions.register(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"workflowctl {version('workflowctl')}")
        raise typer.Exit


@app.callback()
def describe(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Publish workflows; start, watch and control their executions.

    The gateway is [cyan]127.0.0.1:7010[/], unless --address or WORKFLOW_GATEWAY names another one.
    """


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code. Raise OutputError, and any exception that is a defect."""
    try:
        code = app(list(arguments), prog_name="workflowctl", standalone_mode=False)
        return int(code or ExitCode.OK)
    except typer.TyperException as error:
        return _tell_usage(error)
    except typer.Abort:
        return ExitCode.INTERRUPTED
    except SystemExit as error:  # shell completion
        return ExitCode.USAGE if error.code else ExitCode.OK


def _tell_usage(error: typer.TyperException) -> ExitCode:
    if type(error).__name__ == "NoArgsIsHelpError":  # the help was printed
        return ExitCode.USAGE
    context: Any = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "workflowctl"
    told = CommandError(error.format_message(), next_step=f"{command} --help")
    print_error(told, consoles.stderr())
    return ExitCode.USAGE
