"""`workflowctl`: the app with all commands."""

from __future__ import annotations

from typing import Annotated

import typer

from workflowctl.commands import checking, definitions, executions, lifecycle, reading, workflows
from workflowctl.exit_codes import TABLE

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
    """Publish workflows; start, watch and steer their executions.

    The gateway is [cyan]127.0.0.1:7010[/], or what --address or WORKFLOW_GATEWAY says.
    """


def main() -> None:
    """The console script."""
    app()
