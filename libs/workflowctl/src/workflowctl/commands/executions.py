"""Commands for executions: start, watch, pause, resume, cancel, release."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

import typer
from rich.text import Text
from workflow_sdk.errors import WorkflowError
from workflow_sdk.models import Execution, WatchUpdate
from workflow_sdk.statuses import ExecutionStatus

from workflowctl import durations, input_value
from workflowctl.bounds import MAX_VERSION
from workflowctl.errors import CommandError
from workflowctl.exit_codes import ExitCode
from workflowctl.history import watch_from_the_start
from workflowctl.presentation.consoles import print_line
from workflowctl.presentation.facts import print_end
from workflowctl.presentation.json_output import as_data, write_document, write_line
from workflowctl.presentation.marks import STATUS
from workflowctl.presentation.watch_view import summary, watch_view
from workflowctl.session import Session, command

PANEL = "Executions"
MAX_GRACE = "10m"
ExecutionArgument = Annotated[str, typer.Argument(metavar="ID", help="The execution's id.")]
ReasonOption = Annotated[
    str, typer.Option("--reason", help="The reason, which the execution's history keeps.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    for name, body in (
        ("start", start),
        ("watch", watch),
        ("pause", pause),
        ("resume", resume),
        ("cancel", cancel),
        ("release", release),
    ):
        command(app, name, rich_help_panel=PANEL)(body)


async def start(
    session: Session,
    workflow_id: Annotated[str, typer.Argument(metavar="ID", help="The workflow's id.")],
    input: Annotated[
        str, typer.Option("--input", "-i", help="The input: JSON, or @file, or - for standard input.")
    ] = "",
    labels: Annotated[
        list[str] | None, typer.Option("--label", "-l", help="A label: key=value. May be repeated.")
    ] = None,
    request_id: Annotated[
        str,
        typer.Option("--request-id", help="A repeated start with the same id returns the same execution."),
    ] = "",
    version: Annotated[
        int,
        typer.Option(
            "--version", min=0, max=MAX_VERSION, help="The version to start. 0: the active version."
        ),
    ] = 0,
    follow: Annotated[bool, typer.Option("--watch", "-w", help="Watch the execution until it ends.")] = False,
) -> ExitCode | None:
    """Start an execution of an Active workflow."""
    execution = await session.client.start(
        workflow_id,
        input_value.load(input),
        request_id=request_id or None,
        version=version,
        labels=labels_of(labels or []),
    )
    if follow:
        updates = watch_from_the_start(session.client, execution.execution_id)
        return await _follow(session, execution.execution_id, updates)
    _show(session, execution)
    session.hint(f"next: workflowctl watch {execution.execution_id}")
    return None


async def watch(
    session: Session,
    execution_id: ExecutionArgument,
    resume_token: Annotated[
        str, typer.Option("--resume-token", help="Continue after the message that had this token.")
    ] = "",
) -> ExitCode:
    """Show an execution live until it ends. The exit code reports how it ended.

    With -o json each message is one line of JSON, with the token for --resume-token. The last line has the
    execution as it ended, with its output or its failure.
    """
    updates = session.client.watch(execution_id, resume_token=resume_token)
    return await _follow(session, execution_id, updates)


async def pause(session: Session, execution_id: ExecutionArgument, reason: ReasonOption = "") -> None:
    """Pause an execution: no task starts, tasks in flight finish, and their results are kept."""
    _show(session, await session.client.pause(execution_id, reason=reason))


async def resume(session: Session, execution_id: ExecutionArgument, reason: ReasonOption = "") -> None:
    """Resume a paused execution."""
    _show(session, await session.client.resume(execution_id, reason=reason))


async def cancel(
    session: Session,
    execution_id: ExecutionArgument,
    reason: ReasonOption = "",
    grace: Annotated[
        str, typer.Option("--grace", help="How long tasks in flight may take to stop: 30s, 5m; at most 10m.")
    ] = "30s",
) -> None:
    """Cancel an execution. Tasks in flight have the grace period to stop."""
    try:
        seconds = durations.seconds_between(grace, "0s", MAX_GRACE)
    except ValueError as error:
        raise CommandError(f"--grace: {error}") from None
    _show(session, await session.client.cancel(execution_id, grace=seconds, reason=reason))


async def release(session: Session, execution_id: ExecutionArgument, reason: ReasonOption = "") -> None:
    """Release a quarantined execution, so that it continues. Repair the cause before.

    `workflowctl get ID` shows the cause. If the cause is still there, the engine quarantines the execution
    again.
    """
    _show(session, await session.client.release(execution_id, reason=reason))


async def _follow(session: Session, execution_id: str, updates: AsyncIterator[WatchUpdate]) -> ExitCode:
    if session.json:
        return await _follow_as_json(session, execution_id, updates)
    with watch_view(session.out) as view:
        try:
            async for update in updates:
                view.show(update)
        finally:
            if not view.final:
                session.hint(f"it continues; next: workflowctl watch {execution_id}")
    print_line(session.out, summary(view, session.out))
    code = _ended(view.status, execution_id)
    if (execution := await _as_it_ended(session, execution_id)) is not None:
        print_end(session.out, execution)
    return code


async def _follow_as_json(
    session: Session, execution_id: str, updates: AsyncIterator[WatchUpdate]
) -> ExitCode:
    status = ExecutionStatus.UNKNOWN
    line = {"resume_token": ""}
    async for update in updates:
        line = {"resume_token": update.resume_token}
        if update.snapshot is not None:
            status = update.snapshot.status
            write_line({"snapshot": as_data(update.snapshot.message), **line})
        if update.event is not None:
            status = update.event.status
            write_line({"event": as_data(update.event.message), **line})
    code = _ended(status, execution_id)
    if (execution := await _as_it_ended(session, execution_id)) is not None:
        write_line({"execution": as_data(execution.message), **line})
    return code


async def _as_it_ended(session: Session, execution_id: str) -> Execution | None:
    """Return the execution with its output or its failure, or None if the service does not answer.

    The command already knows how the execution ended, so it reports a None and continues.
    """
    try:
        return await session.client.get(execution_id, strong=True)
    except WorkflowError as error:
        text = f"its output cannot be read now ({error.message}); next: workflowctl get {execution_id}"
        print_line(session.err, Text(text))
        return None


def _ended(status: ExecutionStatus, execution_id: str) -> ExitCode:
    codes = {
        ExecutionStatus.COMPLETED: ExitCode.OK,
        ExecutionStatus.FAILED: ExitCode.EXECUTION_FAILED,
        ExecutionStatus.CANCELLED: ExitCode.EXECUTION_CANCELLED,
    }
    if status not in codes:
        raise CommandError(
            f"the watch ended, but the execution did not: its status is {status}",
            next_step=f"workflowctl watch {execution_id}",
            code=ExitCode.UNAVAILABLE,
        )
    return codes[status]


def _show(session: Session, execution: Execution) -> None:
    """Return `0198f…  ● Running  orders v2`: the id comes first, for `cut` and for the reader's eye."""
    if session.json:
        write_document(as_data(execution.message))
        return
    mark = STATUS[execution.status]
    line = Text(execution.execution_id, style="bold")
    line.append(f"  {mark.on(session.out)} {execution.status}", style=f"not bold {mark.style}")
    if execution.cancel_requested and not execution.final:
        line.append("  cancel requested", style="not bold magenta")
    if execution.quarantine is not None:
        line.append("  quarantined", style="not bold red")
    line.append(f"  {execution.workflow_id} v{execution.version}", style="not bold")
    print_line(session.out, line)


def labels_of(pairs: list[str]) -> dict[str, str]:
    """Return the labels of `key=value` options. Raise CommandError if an option is not of this form."""
    labels = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not key:
            raise CommandError(f"--label {pair!r} is not a label: write key=value")
        labels[key] = value
    return labels
