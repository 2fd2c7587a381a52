"""The tasks of an execution as a table, and task runs as a list."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from workflow_sdk.models import Attempt, Execution, TaskRun, TaskSummary

from workflowctl.durations import human
from workflowctl.presentation.consoles import single
from workflowctl.presentation.event_lines import date_time, failure_text, run_name
from workflowctl.presentation.facts import facts, not_retried, payload_parts, traceback_parts
from workflowctl.presentation.marks import ATTEMPT_STATUS, UNKNOWN, Mark
from workflowctl.presentation.plain_table import PlainTable

MAX_SHOWN_ITEMS = 10
_TROUBLED = frozenset({"FAILED", "BACKING_OFF"})
_NEVER = datetime.max.replace(tzinfo=UTC)
COLUMNS = ("task", "status", "attempt", "waited", "took", "worker", "")


def task_table(execution: Execution, console: Console) -> Table:
    """Return a table with a row for each task, in the order in which they began.

    The row of a fan-out counts its items. An item has its own row if it failed, waits for its next attempt,
    or needed more than one.
    """
    items: dict[str, list[TaskRun]] = defaultdict(list)
    tasks: list[TaskRun] = []
    for run in execution.tasks:
        if run.item is None:
            tasks.append(run)
        else:
            items[run.task_id].append(run)
    summaries = {summary.task_id: summary for summary in execution.task_summaries}
    listed = {run.task_id for run in tasks}
    rest = [summary for summary in execution.task_summaries if summary.task_id not in listed]
    table = _table()
    rows: list[TaskRun | TaskSummary] = [*tasks, *rest]
    for row in sorted(rows, key=lambda each: _began(each, summaries)):
        if isinstance(row, TaskSummary):  # the execution has no room for its task run
            _add_summary(table, row, console)
            continue
        _add_row(table, row, console, _item_counts(summaries.get(row.task_id), items[row.task_id]))
        shown = [item for item in items[row.task_id] if item.status in _TROUBLED or item.attempt > 1]
        for item in shown[:MAX_SHOWN_ITEMS]:
            _add_row(table, item, console)
        if len(shown) > MAX_SHOWN_ITEMS:
            table.add_row(Text(f"  and {len(shown) - MAX_SHOWN_ITEMS:,} more", style="dim"))
    return table


def task_run_page(execution_id: str, run: TaskRun, console: Console) -> RenderableType:
    """Return the page of one task run. Large payloads are cut."""
    head = single(Text(run_name(run.task_id, run.item), style="bold"))
    head.append("  ").append_text(status_text(run.status, console))
    waited = "" if run.waited_seconds is None else human(run.waited_seconds)
    rows = [
        ("execution", execution_id),
        ("type", run.task_type),
        ("started", date_time(run.start_time)),
        ("waited", waited),
        ("took", _span(run.start_time, run.end_time)),
        ("worker", run.worker_id),
        ("failure", failure_text(run.failure) if run.failure else ""),
        ("not retried", not_retried(run.failure) if run.status == "FAILED" else ""),
        ("left out", "values that did not fit into one answer" if run.left_out else ""),
    ]
    parts: list[RenderableType] = [head, Padding(facts(rows), (0, 2), expand=False)]
    if run.attempts:
        parts += [Text(), Padding(_attempts_table(run.attempts, console), (0, 2), expand=False)]
    for title, payload in (("input", run.input), ("output", run.output), ("progress", run.progress)):
        parts += payload_parts(title, payload)
    return Group(*parts, *traceback_parts(run.failure))


def _attempts_table(attempts: Iterable[Attempt], console: Console) -> Table:
    table = PlainTable()
    for column in ("attempt", "status", "took", "worker", ""):
        table.add_column(column, no_wrap=column != "")
    for attempt in attempts:
        why = "" if attempt.failure is None else failure_text(attempt.failure)
        table.add_row(
            str(attempt.attempt),
            status_text(attempt.status, console),
            _span(attempt.start_time, attempt.end_time),
            attempt.worker_id,
            Text(why, style="dim"),
        )
    return table


def task_runs_table(runs: Iterable[TaskRun], console: Console) -> Table:
    """Return a table with a row for each task run, in the given order."""
    table = _table()
    for run in runs:
        _add_row(table, run, console)
    return table


def _table() -> PlainTable:
    table = PlainTable()
    for column in COLUMNS:
        table.add_column(column, no_wrap=column != "")
    return table


def _began(row: TaskRun | TaskSummary, summaries: Mapping[str, TaskSummary]) -> tuple[datetime, str]:
    """Return when the first attempt of the task began. A task that was skipped has only an end."""
    first = summaries.get(row.task_id, row)
    return first.start_time or row.start_time or row.end_time or _NEVER, row.task_id


def _item_counts(summary: TaskSummary | None, items: Sequence[TaskRun]) -> str:
    """Return `199 succeeded, 1 failed`. For an execution without summaries, count its task runs."""
    counts: Counter[str] = Counter(item.status for item in items)
    if summary is not None and summary.item_counts is not None:
        counts = Counter(summary.item_counts)
        if not counts:
            return "no items"
    return ", ".join(f"{number:,} {status_word(status)}" for status, number in counts.most_common())


def _add_summary(table: Table, summary: TaskSummary, console: Console) -> None:
    note = Text(_item_counts(summary, ()), style="dim")
    attempts = "" if summary.item_counts is not None else str(summary.attempt_count or "")
    took = _span(summary.start_time, summary.end_time)
    table.add_row(summary.task_id, status_text(summary.status, console), attempts, "", took, "", note)


def _add_row(table: Table, run: TaskRun, console: Console, note: str = "") -> None:
    about = Text(note, style="dim")
    if run.failure is not None:
        about = Text(failure_text(run.failure), style="red" if run.status in _TROUBLED else "dim")
    indent = "" if run.item is None else "  "
    table.add_row(
        indent + run_name(run.task_id, run.item),
        status_text(run.status, console),
        str(run.attempt or ""),
        "" if run.waited_seconds is None else human(run.waited_seconds),
        _span(run.start_time, run.end_time),
        run.worker_id,
        about,
    )


def status_text(status: str, console: Console) -> Text:
    """Return the status of a task run, or of an attempt, with its mark and its colour."""
    mark: Mark = ATTEMPT_STATUS.get(status, UNKNOWN)
    return Text(f"{mark.on(console)} {status_word(status)}", style=mark.style)


def status_word(status: str) -> str:
    """Return the status as a word, such as `backing off`."""
    return status.replace("_", " ").lower()


def _span(start: datetime | None, end: datetime | None) -> str:
    return "" if start is None or end is None else human((end - start).total_seconds())
