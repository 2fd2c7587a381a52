"""One execution, or one workflow, on a page."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text
from workflow_sdk.models import Execution, TaskRun, enum_word, to_datetime
from workflowsystem.catalog.v1 import workflow_pb2

from workflowctl.durations import human
from workflowctl.presentation.consoles import single
from workflowctl.presentation.event_lines import age, date_time, failure_text, run_name
from workflowctl.presentation.marks import STATUS, TASK_STATUS, UNKNOWN, Mark
from workflowctl.presentation.plain_table import PlainTable

MAX_PAYLOAD_CHARS = 4_000
MAX_TROUBLED_ITEMS = 10
_PROSE = frozenset({"about", "reason", "because"})
"""Facts that may have several lines."""
_TROUBLED = frozenset({"FAILED", "BACKING_OFF"})
_WORKFLOW_STYLES = {"DRAFT": "yellow", "ACTIVE": "bold green", "INACTIVE": "magenta", "ARCHIVED": "dim"}


def execution_page(execution: Execution, console: Console) -> RenderableType:
    """Everything about an execution; large payloads are cut."""
    mark = STATUS[execution.status]
    head = single(Text(execution.execution_id, style="bold"))
    head.append(f"  {mark.on(console)} {execution.status}", style=mark.style)
    if execution.cancel_requested and not execution.final:
        head.append("  cancel requested", style="magenta not bold")
    if execution.quarantine is not None:
        head.append("  quarantined", style="red not bold")
    parts: list[RenderableType] = [head, Padding(_execution_facts(execution), (0, 2), expand=False)]
    if execution.tasks:
        parts += [Text(), Padding(task_table(execution.tasks, console), (0, 2), expand=False)]
    for title, payload in (("input", execution.input), ("output", execution.output)):
        if payload is not None:
            parts += [Text(f"\n  {title}", style="dim"), Padding(_payload(payload), (0, 4), expand=False)]
    return Group(*parts)


def _execution_facts(execution: Execution) -> Table:
    counts = execution.task_counts
    facts = [
        ("workflow", f"{execution.workflow_id} v{execution.version}"),
        ("namespace", execution.namespace),
        ("created", _time(execution.create_time)),
        ("started", date_time(execution.start_time)),
        ("ended", _ended(execution)),
        (
            "tasks",
            f"{counts.ended} of {counts.total} ended, {counts.running} running, {counts.failed} failed",
        ),
        ("labels", ", ".join(f"{key}={value}" for key, value in sorted(execution.labels.items()))),
        ("reason", execution.message.pause.reason or execution.message.cancel_reason),
        *_quarantine_facts(execution),
        ("failure", failure_text(execution.failure) if execution.failure else ""),
        ("no retry", execution.failure.retry_state if execution.failure else ""),
    ]
    return facts_table(facts)


def _quarantine_facts(execution: Execution) -> list[tuple[str, str]]:
    """Why it stands still, since when, and what to do."""
    quarantine = execution.quarantine
    if quarantine is None:
        return []
    facts = [
        ("quarantined", f"{_time(quarantine.quarantine_time)}  after {quarantine.tries} tries"),
        ("because", quarantine.reason),
    ]
    if execution.cancel_requested:
        return [*facts, ("next", "wait for Cancelled")]
    id_ = execution.execution_id
    return [*facts, ("if repaired", f"workflowctl release {id_}"), ("or", f"workflowctl cancel {id_}")]


def _ended(execution: Execution) -> str:
    if execution.end_time is None or execution.create_time is None:
        return ""
    took = human((execution.end_time - execution.create_time).total_seconds())
    return f"{date_time(execution.end_time)}  after {took}"


def task_table(tasks: Sequence[TaskRun], console: Console) -> Table:
    """A row per task; items of a fan-out are counted in its row, and shown only where there is trouble."""
    table = PlainTable()
    for column in ("task", "status", "attempt", "took", "worker", ""):
        table.add_column(column, no_wrap=column != "")
    items: dict[str, list[TaskRun]] = defaultdict(list)
    for task in tasks:
        if task.item is not None:
            items[task.task_id].append(task)
    for task in tasks:
        if task.item is None:
            _add_row(table, task, console, _item_counts(items[task.task_id]))
            troubled = [item for item in items[task.task_id] if item.status in _TROUBLED]
            for item in troubled[:MAX_TROUBLED_ITEMS]:
                _add_row(table, item, console, "")
    return table


def _item_counts(items: Sequence[TaskRun]) -> str:
    by_status = Counter(item.status for item in items)
    return ", ".join(f"{number} {_word(status)}" for status, number in by_status.most_common())


def _add_row(table: Table, task: TaskRun, console: Console, note: str) -> None:
    mark: Mark = TASK_STATUS.get(task.status, UNKNOWN)
    took = ""
    if task.start_time is not None and task.end_time is not None:
        took = human((task.end_time - task.start_time).total_seconds())
    about = Text(note, style="dim")
    if task.failure is not None:
        about = Text(failure_text(task.failure), style="red" if task.status in _TROUBLED else "dim")
    indent = "" if task.item is None else "  "
    table.add_row(
        indent + run_name(task.task_id, task.item),
        Text(f"{mark.on(console)} {_word(task.status)}", style=mark.style),
        str(task.attempt or ""),
        took,
        task.worker_id,
        about,
    )


def _word(status: str) -> str:
    return status.replace("_", " ").lower()


def workflow_page(workflow: Any, console: Console) -> RenderableType:
    """A workflow with its draft."""
    status = enum_word(workflow_pb2.WorkflowStatus, workflow.status)
    head = single(Text(workflow.workflow_id, style="bold"))
    head.append(f"  {status.capitalize()}", style=_WORKFLOW_STYLES.get(status, ""))
    definition = workflow.definition
    draft = "differs from the active version: publish it to use it" if workflow.draft_changed else ""
    labels = ", ".join(f"{key}={value}" for key, value in sorted(definition.labels.items()))
    facts = [
        ("active version", str(workflow.active_version or "none")),
        ("draft", draft),
        ("namespace", workflow.namespace),
        ("about", definition.description.strip()),
        ("owner", definition.owner),
        ("labels", labels),
        ("updated", _time(to_datetime(workflow, "update_time"))),
    ]
    tasks = PlainTable()
    for column in ("task", "type", "needs", "per item of"):
        tasks.add_column(column)
    for task in definition.tasks:
        items = task.for_each.items.string_value or ("a list" if task.HasField("for_each") else "")
        tasks.add_row(Text(task.id), Text(task.type), Text(", ".join(task.needs)), Text(items))
    return Group(
        head, Padding(facts_table(facts), (0, 2), expand=False), Text(), Padding(tasks, (0, 2), expand=False)
    )


def workflow_status(workflow: Any) -> Text:
    """The status in the users' word and its colour."""
    status = enum_word(workflow_pb2.WorkflowStatus, workflow.status)
    return Text(status.capitalize(), style=_WORKFLOW_STYLES.get(status, ""))


def facts_table(facts: Sequence[tuple[str, str]]) -> Table:
    """Names and values; what has no value is left out."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for name, value in facts:
        if value:
            table.add_row(name, Text(value) if name in _PROSE else single(value))
    return table


def _time(time: Any) -> str:
    return "" if time is None else f"{date_time(time)}  ({age(time)})"


def _payload(payload: Any) -> RenderableType:
    text = json.dumps(payload, indent=2, ensure_ascii=False)
    if len(text) > MAX_PAYLOAD_CHARS:
        return Text(text[:MAX_PAYLOAD_CHARS] + f"\n… {len(text):,} characters in all: -o json shows them")
    return Syntax(text, "json", background_color="default", word_wrap=True)
