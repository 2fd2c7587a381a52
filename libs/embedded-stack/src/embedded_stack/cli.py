"""`python -m embedded_stack up | run -- COMMAND | servers -- COMMAND`."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from service_kit.process.settings import SettingsError, load, warnings_of

from embedded_stack.console import Reporter
from embedded_stack.disk_room import require_room, warning_of
from embedded_stack.errors import StackError
from embedded_stack.foreground import run_in_foreground
from embedded_stack.servers import Servers
from embedded_stack.services import listening_warnings, without_stores
from embedded_stack.settings import Ports, StackSettings
from embedded_stack.stop_requests import StopRequests
from embedded_stack.supervisor import StackOptions, Supervisor

EXIT_FAILED = 1
EXIT_USAGE = 2


class StoppedEarlyError(Exception):
    """The user asked to stop before the stack was up."""

    def __init__(self, request: signal.Signals) -> None:
        super().__init__(request.name)
        self.request = request


app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="PostgreSQL, Valkey and the services of the workflow engine, on this machine.",
)

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors and warnings.")]
DataDir = Annotated[
    Path | None, typer.Option(help="Directory for data and logs, instead of WORKFLOW_DATA_DIR.")
]
CommandLine = Annotated[
    list[str], typer.Argument(metavar="COMMAND...", help="The command to run, after `--`.")
]


@app.command()
def up(quiet: Quiet = False, data_dir: DataDir = None) -> None:
    """Start everything on the configured ports, and run until Ctrl-C."""
    options = StackOptions.of(_settings(data_dir, os.environ))
    reporter = Reporter(quiet=quiet)
    for line in listening_warnings(os.environ):
        reporter.warn(line)
    _main(_up(options, reporter), reporter)


@app.command()
def run(command: CommandLine, quiet: Quiet = False, data_dir: DataDir = None) -> None:
    """Start everything on free ports, run COMMAND with the addresses in its environment, stop everything.

    The data is separate from the data of `up`. The exit code is that of COMMAND.
    """
    settings = _settings(data_dir, without_stores(os.environ))
    data = data_dir or settings.workflow_data_dir / "demo"
    ports = Ports.ephemeral()
    options = replace(StackOptions.of(settings), data=data.resolve(), ports=ports, own_stores=None)
    reporter = Reporter(quiet=quiet)
    _main(_run(options, command, reporter), reporter)


@app.command()
def servers(command: CommandLine, quiet: Quiet = False, data_dir: DataDir = None) -> None:
    """Start PostgreSQL, its replica and Valkey alone on free ports, run COMMAND with their addresses."""
    settings = _settings(data_dir, without_stores(os.environ))
    data = data_dir or settings.workflow_data_dir / "servers"
    reporter = Reporter(quiet=quiet)
    _main(_servers(data, command, reporter), reporter)


def main() -> None:
    """Run the command line."""
    app()


def _settings(data_dir: Path | None, environ: Mapping[str, str]) -> StackSettings:
    reporter = Reporter(quiet=False)
    try:
        settings = load(StackSettings, environ)
    except SettingsError as error:
        for problem in error.problems:
            reporter.error(problem)
        raise typer.Exit(EXIT_USAGE) from error
    for line in warnings_of(settings, environ):
        reporter.warn(line)
    return settings if data_dir is None else settings.model_copy(update={"workflow_data_dir": data_dir})


def _main(work: Coroutine[Any, Any, int], reporter: Reporter) -> None:
    try:
        code = asyncio.run(work)
    except StackError as error:
        reporter.error(str(error))
        code = EXIT_FAILED
    except StoppedEarlyError as stopped:
        code = 128 + stopped.request
    sys.exit(code)


async def _up(options: StackOptions, reporter: Reporter) -> int:
    with StopRequests() as requests:
        async with _stack(options, reporter, requests) as supervisor:
            reporter.show_addresses(supervisor.plan, len(supervisor.workers), supervisor.psql_url)
            supervision = asyncio.create_task(supervisor.run_for_ever())
            if await requests.unless_done(supervision) is None:
                await supervision
            supervision.cancel()
            reporter.say("draining and stopping; Ctrl-C again to stop at once")
    reporter.say("stopped")
    return 0


async def _run(options: StackOptions, command: list[str], reporter: Reporter) -> int:
    with StopRequests() as requests:
        async with _stack(options, reporter, requests) as supervisor:
            plan = supervisor.plan
            given = {**plan.addresses, **plan.store_addresses}
            given["WORKFLOW_GATEWAY"] = given["GATEWAY_ADDRESS"]  # workflowctl reads this variable
            return await run_in_foreground(command, given, requests)


async def _servers(data: Path, command: list[str], reporter: Reporter) -> int:
    _check_room(data, reporter)
    with StopRequests() as requests:
        with reporter.starting():
            running = Servers.start(data)
        with running:
            addresses = running.addresses
            stores = {
                "DEFAULT_CONNECTION": addresses.database_url,
                "READ_ONLY_CONNECTION": addresses.replica_url,
                "REDIS": addresses.redis_url,
            }
            return await run_in_foreground(command, stores, requests)


def _check_room(data: Path, reporter: Reporter) -> None:
    require_room(data)
    if (warning := warning_of(data)) is not None:
        reporter.warn(warning)


@contextlib.asynccontextmanager
async def _stack(
    options: StackOptions, reporter: Reporter, requests: StopRequests
) -> AsyncIterator[Supervisor]:
    """Run the stack while the block lasts."""
    if options.own_stores is None:
        _check_room(options.data, reporter)
    supervisor = await _start(options, reporter, requests)
    try:
        yield supervisor
    finally:
        hurry = asyncio.create_task(_hurry_when_asked_again(supervisor, requests))
        await supervisor.stop()
        hurry.cancel()


async def _start(options: StackOptions, reporter: Reporter, requests: StopRequests) -> Supervisor:
    """Start the stack. If the user asks to stop meanwhile, stop everything and raise StoppedEarlyError."""
    with reporter.starting() as clock:
        starting = asyncio.create_task(Supervisor.start(options, reporter.say))
        request = await requests.unless_done(starting)
        if request is not None:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            raise StoppedEarlyError(request)
        supervisor = await starting
    reporter.say(f"the stack is up after {clock.seconds:.1f} s")
    return supervisor


async def _hurry_when_asked_again(supervisor: Supervisor, requests: StopRequests) -> None:
    await requests.next()
    supervisor.hurry.set()
