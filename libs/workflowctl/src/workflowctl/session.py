"""What every command shares: where the gateway is, how to answer, and what becomes of errors.

A command is a coroutine whose first parameter is a `Session`; `command` gives it the common options, runs it,
and turns what it raises into a paragraph and an exit code.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text
from workflow_sdk.client import DEFAULT_ADDRESS, DEFAULT_NAMESPACE, Client
from workflow_sdk.errors import WorkflowError
from workflow_sdk.payloads import PayloadError

from workflowctl import durations
from workflowctl.errors import CommandError, from_sdk
from workflowctl.exit_codes import ExitCode
from workflowctl.presentation import consoles
from workflowctl.presentation.error_text import print_error

TIMEOUT = "10s"
_PANEL = "Connection and output"


class Output(StrEnum):
    """How results are written."""

    TEXT = "text"
    JSON = "json"


@dataclass(slots=True)
class Session:
    """One run of one command."""

    client: Client
    address: str
    output: Output
    out: Console = field(default_factory=consoles.stdout)
    err: Console = field(default_factory=consoles.stderr)

    @property
    def json(self) -> bool:
        """Whether a script reads the output."""
        return self.output is Output.JSON

    def hint(self, text: str) -> None:
        """Tell a person what to do next; scripts and logs are spared."""
        if self.err.is_terminal and not self.json:
            self.err.print(Text(text, style="dim"), soft_wrap=True)

    def confirm(self, question: str, yes: bool) -> None:
        """Ask before what can't be undone; a script says so with --yes. Raises CommandError for a no."""
        if yes:
            return
        if self.json or not (sys.stdin.isatty() and self.err.is_terminal):
            raise CommandError(f"nobody can be asked here: {question}", next_step="add --yes to do it")
        with _ctrl_c_at_once():
            self.err.print(Text(f"{question} [y/N] "), end="", soft_wrap=True)
            answer = sys.stdin.readline()
        if answer.strip().lower() not in ("y", "yes"):
            raise CommandError("nothing was changed")


AddressOption = Annotated[
    str,
    typer.Option(
        "--address", envvar="WORKFLOW_GATEWAY", help="The gateway: host:port.", rich_help_panel=_PANEL
    ),
]
NamespaceOption = Annotated[
    str,
    typer.Option(
        "--namespace",
        "-n",
        envvar="WORKFLOW_NAMESPACE",
        help="The namespace to work in.",
        rich_help_panel=_PANEL,
    ),
]
TimeoutOption = Annotated[
    str,
    typer.Option(
        "--timeout",
        envvar="WORKFLOW_TIMEOUT",
        help="How long to wait for the gateway: 500ms, 10s.",
        rich_help_panel=_PANEL,
    ),
]
OutputOption = Annotated[
    Output,
    typer.Option("--output", "-o", help="text for people; json for scripts.", rich_help_panel=_PANEL),
]
JsonOption = Annotated[bool, typer.Option("--json", help="The same as -o json.", rich_help_panel=_PANEL)]
_COMMON: dict[str, tuple[Any, Any]] = {
    "address": (AddressOption, DEFAULT_ADDRESS),
    "namespace": (NamespaceOption, DEFAULT_NAMESPACE),
    "timeout": (TimeoutOption, TIMEOUT),
    "output": (OutputOption, Output.TEXT),
    "as_json": (JsonOption, False),
}

Body = Callable[..., Awaitable[ExitCode | None]]


def command(app: typer.Typer, name: str, **settings: Any) -> Callable[[Body], Body]:
    """Make a coroutine a command of `app`; `settings` are typer's, such as `rich_help_panel`.

    A parameter of its own wins over a common option of the same name.
    """

    def register(body: Body) -> Body:
        @functools.wraps(body)
        def run(**options: Any) -> None:
            given = {name: options.pop(name) for name in shared}
            raise typer.Exit(_run(body, options, **given))

        own = list(inspect.signature(body, eval_str=True).parameters.values())[1:]
        shared = _COMMON.keys() - {parameter.name for parameter in own}
        common = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for name, (annotation, default) in _COMMON.items()
            if name in shared
        ]
        parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own] + common
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        del run.__wrapped__
        app.command(name, no_args_is_help=any(p.default is p.empty for p in own), **settings)(run)
        return body

    return register


def _run(body: Body, options: dict[str, Any], *, address: str, **common: Any) -> ExitCode:
    errors = consoles.stderr()
    try:
        return asyncio.run(_connected(body, options, address, **common)) or ExitCode.OK
    except CommandError as error:
        print_error(error, errors)
        return error.code
    except (WorkflowError, PayloadError) as error:
        refused = from_sdk(error, address)
        print_error(refused, errors)
        return refused.code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        return ExitCode.OK  # whoever read the output has seen enough


async def _connected(
    body: Body,
    options: dict[str, Any],
    address: str,
    namespace: str,
    timeout: str,
    output: Output = Output.TEXT,
    as_json: bool = False,
) -> ExitCode | None:
    try:
        seconds = float(durations.seconds(timeout))
    except ValueError as error:
        raise CommandError(f"--timeout: {error}") from None
    try:
        connecting = Client.connect(address, namespace, timeout=seconds)
    except ValueError as error:
        raise CommandError(f"--address or WORKFLOW_GATEWAY: {error}") from None
    async with connecting as client:
        session = Session(client, address, Output.JSON if as_json else output)
        return await body(session, **options)


@contextmanager
def _ctrl_c_at_once() -> Iterator[None]:
    """While the loop waits for what is typed: asyncio would only note a Ctrl-C, until the loop goes on."""
    asyncio_handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise KeyboardInterrupt  # it was noted just before
        yield
    finally:
        signal.signal(signal.SIGINT, asyncio_handler)
