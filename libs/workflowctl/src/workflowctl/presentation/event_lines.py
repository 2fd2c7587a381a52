"""Lines for events: the time, a mark, the task, what happened to it, the attempt, the worker."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from rich.console import Console
from rich.text import Text
from workflow_sdk.models import Event, Failure

from workflowctl.durations import human
from workflowctl.presentation.marks import STATUS, TASK_STATUS, UNKNOWN, Mark
from workflowctl.safe_text import one_line

TASK_CHARS = 28
WORD_CHARS = 10
MAX_FAILURE_CHARS = 160

_TASK_EVENTS: Mapping[str, tuple[Mark, str]] = {
    "TASK_EXPANDED": (Mark("⑂", "Y", "cyan"), "fans out"),
    "TASK_STARTED": (TASK_STATUS["RUNNING"], "started"),
    "TASK_SUCCEEDED": (TASK_STATUS["SUCCEEDED"], "succeeded"),
    "TASK_RETRY_SCHEDULED": (TASK_STATUS["BACKING_OFF"], "retries"),
    "TASK_REQUEUED": (TASK_STATUS["BACKING_OFF"], "requeued"),
    "TASK_FAILED": (TASK_STATUS["FAILED"], "failed"),
    "TASK_SKIPPED": (TASK_STATUS["SKIPPED"], "skipped"),
    "TASK_CANCELLED": (TASK_STATUS["CANCELLED"], "cancelled"),
}
_EXECUTION_EVENTS: Mapping[str, str] = {
    "EXECUTION_CREATED": "accepted",
    "EXECUTION_STARTED": "a worker claimed the first task",
    "EXECUTION_PAUSED": "no task starts",
    "EXECUTION_QUIESCED": "no task is in flight any more",
    "EXECUTION_RESUMED": "continues",
    "CANCEL_REQUESTED": "cancel requested",
    "EXECUTION_QUARANTINED": "quarantined until it is released or cancelled",
    "EXECUTION_RELEASED": "released from quarantine: it continues",
    "EXECUTION_COMPLETED": "every task is done",
    "EXECUTION_FAILED": "",
    "EXECUTION_CANCELLED": "",
}


def event_line(event: Event, console: Console) -> Text:
    """Return the line of one event, in the colours of `presentation.marks`."""
    line = Text(clock_time(event.time) + "  ", style="dim", end="")
    if event.task_id:
        _add_task(line, event, console)
    else:
        _add_execution(line, event, console)
    if event.reason:
        line.append(f'  "{event.reason}"', style="italic")
    if event.failure is not None:
        line.append(f"  {failure_text(event.failure)}", style="red")
    return line


def _add_task(line: Text, event: Event, console: Console) -> None:
    mark, word = _TASK_EVENTS.get(event.type, (UNKNOWN, event.type.lower()))
    line.append(f"{mark.on(console)} ", style=mark.style)
    line.append(f"{run_name(event.task_id, event.item):<{TASK_CHARS}} ", style="not dim")
    line.append(f"{word:<{WORD_CHARS}}", style=mark.style)
    notes = []
    if event.item_count is not None:
        notes.append("1 item" if event.item_count == 1 else f"{event.item_count:,} items")
    if event.attempt > 0:
        notes.append(f"#{event.attempt}")
    if event.next_attempt_time is not None and event.time is not None:
        notes.append(f"next in {human((event.next_attempt_time - event.time).total_seconds())}")
    if event.worker_id:
        notes.append(event.worker_id)
    line.append("  ".join(notes), style="dim")


def _add_execution(line: Text, event: Event, console: Console) -> None:
    mark = STATUS[event.status]
    line.append(f"{mark.on(console)} {event.status}", style=mark.style)
    meaning = _EXECUTION_EVENTS.get(event.type, event.type.lower())
    if meaning:
        line.append(f"  {meaning}", style="dim")


def run_name(task_id: str, item: int | None) -> str:
    """Return the name of a task run: the id of its task, and in a fan-out the item."""
    return task_id if item is None else f"{task_id}[{item}]"


def failure_text(failure: Failure) -> str:
    """Return the failure on one line."""
    lines = failure.message.strip().splitlines()
    text = one_line(f"{failure.type}: {lines[0]}" if lines else failure.type)
    return text if len(text) <= MAX_FAILURE_CHARS else text[: MAX_FAILURE_CHARS - 1] + "…"


def clock_time(time: datetime | None) -> str:
    """Return the local time of day in milliseconds. Its length is always the same."""
    if time is None:
        return "--:--:--.---"
    return time.astimezone().strftime("%H:%M:%S.%f")[:-3]


def date_time(time: datetime | None) -> str:
    """Return the local date and time, or an empty text if the time is unset."""
    return "" if time is None else time.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def age(time: datetime | None, now: datetime | None = None) -> str:
    """Return how long ago the time was."""
    if time is None:
        return ""
    return human(((now or datetime.now(UTC)) - time).total_seconds()) + " ago"
