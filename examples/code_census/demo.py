"""The program of `make demo`: it publishes the census, starts it, watches it and prints its report.

It needs a running stack, and exits with 0 only if the execution is Completed.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from embedded_stack.hints import first_steps
from embedded_stack.services import without_stores
from embedded_stack.settings import EXAMPLE_HANDLERS, Ports, StackSettings
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text
from service_kit.process.settings import load as load_settings
from workflow_contract.names import DEFAULT_NAMESPACE
from workflow_sdk import Client, Execution, ExecutionStatus, WorkflowError
from workflow_sdk.client import DEFAULT_ADDRESS
from workflowctl.definition_file import load
from workflowctl.errors import CommandError, from_sdk
from workflowctl.history import watch_from_the_start
from workflowctl.presentation.consoles import stderr, stdout
from workflowctl.presentation.error_text import print_error
from workflowctl.presentation.event_lines import failure_text
from workflowctl.presentation.marks import DONE
from workflowctl.presentation.watch_view import summary, watch_view

WORKFLOW = Path(__file__).with_name("workflow.yaml")


async def demo(client: Client, console: Console) -> Execution:
    """Publish the workflow, run one execution to its end on the console, and return it."""
    await _publish(client, console)
    execution = await client.start("code-census", labels={"started-by": "demo"})
    with watch_view(console) as view:
        async for update in watch_from_the_start(client, execution.execution_id):
            view.show(update)
    console.print(summary(view, console))
    return await client.get(execution.execution_id, full=True, strong=True)


async def _publish(client: Client, console: Console) -> None:
    file = load(str(WORKFLOW))
    try:
        draft = await client.update_workflow(file.workflow_id, file.definition, etag="*")
    except WorkflowError as error:
        if error.reason != "WORKFLOW_NOT_FOUND":
            raise
        draft = await client.create_workflow(file.workflow_id, file.definition)
    published = await client.publish_workflow(file.workflow_id, etag=draft.etag)
    line = Text(f"{DONE.on(console)} ", style=DONE.style)
    line.append(f"published {WORKFLOW.parent.name}/{WORKFLOW.name}", style="not bold default")
    line.append(f"  {file.workflow_id} v{published.active_version}", style="not bold dim")
    console.print(line)


def report_table(report: dict[str, Any]) -> Table:
    """Return a table of the ten largest packages, with the totals of the whole tree in the last row."""
    table = Table(title="The ten largest packages", title_style="bold", title_justify="left", box=SIMPLE_HEAD)
    rows = [(package["name"], *_numbers(package)) for package in report["largest"]]
    total = (f"all {report['packages']:,}", *_numbers(report))
    headers = ("package", "files", "lines", "functions", "classes")
    for header, *cells in zip(headers, *rows, total, strict=True):
        # In a narrow terminal only the last column is cut.
        width, number = max(map(len, (header, *cells))), header != "package"
        table.add_column(header, justify="right" if number else "left", min_width=width, no_wrap=True)
    table.add_column("longest function, in lines", no_wrap=True)
    for package, row in zip(report["largest"], rows, strict=True):
        table.add_row(*row, _longest(package))
    table.add_section()
    table.add_row(*total, _longest(report), style="bold")
    return table


def _numbers(count: dict[str, Any]) -> list[str]:
    return [f"{count[key]:,}" for key in ("files", "lines", "functions", "classes")]


def _longest(count: dict[str, Any]) -> Text:
    function = count["longest_function"]
    if not function:
        return Text()
    within = function["name"].removeprefix(count.get("name", "") + ".")
    return Text(f"{function['lines']:>3} ", style="cyan", overflow="ellipsis").append(within, style="default")


def commands() -> list[tuple[str, str]]:
    """Return commands to look around, each with what it shows, for the addresses of `make up`."""
    ports = Ports.of(load_settings(StackSettings, without_stores(os.environ)))
    return [(hint.command, hint.meaning) for hint in first_steps(ports, EXAMPLE_HANDLERS)]


def _show_result(execution: Execution, console: Console) -> None:
    if execution.status is not ExecutionStatus.COMPLETED:
        why = failure_text(execution.failure) if execution.failure else "no failure is recorded"
        console.print(Text(f"the census is {execution.status}: {why}", style="bold red"))
        return
    console.print()
    console.print(report_table(execution.output))


def show_title(console: Console) -> None:
    """Print the title."""
    title = Text.from_markup("[bold]WorkflowSystem[/]  a census of the Python that runs it")
    console.rule(title, style="dim")


def show_commands(console: Console) -> None:
    """Print the commands to try next."""
    console.print(Text.from_markup("\n[bold]Look around:[/] type [bold]make up[/], then in another terminal"))
    for line, meaning in commands():
        console.print(Text(f"  # {meaning}", style="dim"), soft_wrap=True)
        console.print(Text(f"  {line}"), soft_wrap=True)


async def main() -> int:
    """Run the demo against the gateway in GATEWAY_ADDRESS, and return the exit code."""
    console, address = stdout(), os.environ.get("GATEWAY_ADDRESS", DEFAULT_ADDRESS)
    show_title(console)
    try:
        namespace = os.environ.get("WORKFLOW_NAMESPACE") or DEFAULT_NAMESPACE
        async with Client.connect(address, namespace) as client:
            execution = await demo(client, console)
    except (WorkflowError, CommandError) as error:
        print_error(error if isinstance(error, CommandError) else from_sdk(error, address), stderr())
        return 1
    _show_result(execution, console)
    show_commands(console)
    return 0 if execution.status is ExecutionStatus.COMPLETED else 1


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main()))
    except KeyboardInterrupt:
        sys.exit(130)
