"""Everything that all commands share: the gateway, the form of the output, and the handling of errors.

A command is a coroutine whose first parameter is a `Session`. `command` adds the common options, runs the
coroutine, and turns an exception into a paragraph and an exit code.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import re
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.text import Text
from workflow_contract.names import DEFAULT_NAMESPACE
from workflow_sdk.client import DEFAULT_ADDRESS, Client
from workflow_sdk.errors import WorkflowError
from workflow_sdk.payloads import PayloadError

from workflowctl import durations
from workflowctl.errors import CommandError, from_sdk
from workflowctl.exit_codes import ExitCode
from workflowctl.next_steps import as_typed, options_of
from workflowctl.presentation import consoles
from workflowctl.presentation.consoles import SafeConsole, print_line
from workflowctl.presentation.error_text import error_document, print_error
from workflowctl.safe_text import json_text
from workflowctl.signals import StoppedError, cancelled_by_signals, signals_at_once

TIMEOUT = "10s"
MIN_TIMEOUT = "1ms"
MAX_TIMEOUT = "24h"
_MAX_ANSWER_WAIT = 100
_PANEL = "Connection and output"


class Output(StrEnum):
    """The form in which results are written."""

    TEXT = "text"
    JSON = "json"


@dataclass(slots=True)
class Session:
    """One run of one command."""

    client: Client
    address: str
    output: Output
    options: str = ""
    """The options that a suggested command needs to reach the same gateway and namespace."""
    out: SafeConsole = field(default_factory=consoles.stdout)
    err: SafeConsole = field(default_factory=consoles.stderr)

    @property
    def json(self) -> bool:
        """Return whether a script reads the output."""
        return self.output is Output.JSON

    def hint(self, text: str) -> None:
        """Print the next step for a person. Print nothing if a script or a log reads the output."""
        if self.err.is_terminal and not self.json:
            print_line(self.err, Text(as_typed(text, self.options), style="dim"))

    def confirm(self, question: str, yes: bool) -> None:
        """Ask before a step that cannot be undone. `yes` skips the question.

        Raise CommandError if the answer is no.
        """
        if yes:
            return
        if self.json or not (sys.stdin.isatty() and self.err.is_terminal):
            raise CommandError(
                f"there is no terminal to answer on: {question}", next_step="add --yes to answer yes"
            )
        with signals_at_once():
            print_line(self.err, Text(f"{question} [y/N] "), end="")
            answer = sys.stdin.buffer.readline(_MAX_ANSWER_WAIT)
        if answer.strip().lower() not in (b"y", b"yes"):
            raise CommandError("nothing was changed")


AddressOption = Annotated[
    str,
    typer.Option(
        "--address",
        envvar="WORKFLOW_GATEWAY",
        help="The address of the gateway: host:port.",
        rich_help_panel=_PANEL,
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
    typer.Option(
        "--output", "-o", help="The form: text for people, json for scripts.", rich_help_panel=_PANEL
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Short for -o json.", rich_help_panel=_PANEL)]
DebugOption = Annotated[
    bool,
    typer.Option(
        "--debug",
        envvar="WORKFLOW_DEBUG",
        help="Show the traceback if workflowctl itself fails, for a report.",
        rich_help_panel=_PANEL,
    ),
]
_COMMON: dict[str, tuple[Any, Any]] = {
    "address": (AddressOption, DEFAULT_ADDRESS),
    "namespace": (NamespaceOption, DEFAULT_NAMESPACE),
    "timeout": (TimeoutOption, TIMEOUT),
    "output": (OutputOption, Output.TEXT),
    "as_json": (JsonOption, False),
    "debug": (DebugOption, False),
}

_NOT_UTF_8 = re.compile("[\udc80-\udcff]")
"""The characters that Python uses for bytes of an argument that are not UTF-8."""
_CODES_OF_SIGNALS: dict[int, ExitCode] = {signal.SIGHUP: ExitCode.HANGUP, signal.SIGTERM: ExitCode.TERMINATED}

Body = Callable[..., Awaitable[ExitCode | None]]


def command(app: typer.Typer, name: str, **settings: Any) -> Callable[[Body], Body]:
    """Register a coroutine as a command of `app`. `settings` are options of typer, such as `rich_help_panel`.

    A parameter of the coroutine replaces a common option of the same name.
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
    wants_json = bool(common.get("as_json")) or common.get("output") is Output.JSON
    further = options_of(address, common["namespace"])
    try:
        return asyncio.run(_connected(body, options, address, **common)) or ExitCode.OK
    except CommandError as error:
        return _tell(error, wants_json, further)
    except (WorkflowError, PayloadError) as error:
        return _tell(from_sdk(error, address), wants_json, further)
    except StoppedError as error:
        return _CODES_OF_SIGNALS[error.number]
    except UnicodeEncodeError as error:
        if _NOT_UTF_8.search(error.object) is None:
            raise
        told = CommandError(f"{error.object[:100]!r} is not UTF-8: write it in that encoding")
        return _tell(told, wants_json, further)


def _tell(error: CommandError, wants_json: bool, options: str) -> ExitCode:
    error.message, error.next_step = (as_typed(each, options) for each in (error.message, error.next_step))
    if wants_json:
        sys.stderr.write(json_text(error_document(error)) + "\n")
    else:
        print_error(error, consoles.stderr())
    return error.code


async def _connected(
    body: Body,
    options: dict[str, Any],
    address: str,
    namespace: str,
    timeout: str,
    output: Output = Output.TEXT,
    as_json: bool = False,
    debug: bool = False,
) -> ExitCode | None:
    try:
        seconds = durations.seconds_between(timeout, MIN_TIMEOUT, MAX_TIMEOUT)
    except ValueError as error:
        raise CommandError(f"--timeout: {error}") from None
    if not address.strip():
        raise CommandError(
            "--address is empty",
            next_step="write host:port, or unset WORKFLOW_GATEWAY for the gateway of this machine",
        )
    with cancelled_by_signals():
        return await _called(body, options, address, namespace, seconds, Output.JSON if as_json else output)


async def _called(
    body: Body, options: dict[str, Any], address: str, namespace: str, seconds: float, output: Output
) -> ExitCode | None:
    try:
        connecting = Client.connect(address, namespace, timeout=seconds)
    except ValueError as error:
        raise CommandError(f"--address or WORKFLOW_GATEWAY: {error}") from None
    async with connecting as client:
        return await body(Session(client, address, output, options_of(address, namespace)), **options)
