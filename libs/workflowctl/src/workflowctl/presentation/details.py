"""Pages that show one execution or one workflow."""

from __future__ import annotations

from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from workflow_sdk.models import Execution
from workflow_sdk.statuses import enum_word
from workflow_sdk.times import to_datetime
from workflowsystem.catalog.v1 import workflow_pb2

from workflowctl.durations import human
from workflowctl.presentation.consoles import single
from workflowctl.presentation.event_lines import age, date_time, failure_text
from workflowctl.presentation.facts import facts, not_retried, payload_parts, traceback_parts
from workflowctl.presentation.marks import STATUS
from workflowctl.presentation.plain_table import PlainTable
from workflowctl.presentation.task_pages import task_table

_WORKFLOW_STYLES = {"DRAFT": "yellow", "ACTIVE": "bold green", "INACTIVE": "magenta", "ARCHIVED": "dim"}


def execution_page(execution: Execution, console: Console) -> RenderableType:
    """Return the page of an execution. Large payloads are cut."""
    mark = STATUS[execution.status]
    head = single(Text(execution.execution_id, style="bold"))
    head.append(f"  {mark.on(console)} {execution.status}", style=mark.style)
    if execution.cancel_requested and not execution.final:
        head.append("  cancel requested", style="magenta not bold")
    if execution.quarantine is not None:
        head.append("  quarantined", style="red not bold")
    parts: list[RenderableType] = [head, Padding(_execution_facts(execution), (0, 2), expand=False)]
    if execution.tasks:
        parts += [Text(), Padding(task_table(execution, console), (0, 2), expand=False)]
    return Group(
        *parts,
        *payload_parts("input", execution.input),
        *payload_parts("output", execution.output),
        *traceback_parts(execution.failure),
    )


def _execution_facts(execution: Execution) -> Table:
    counts = execution.task_counts
    rows = [
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
        ("not retried", not_retried(execution.failure)),
    ]
    return facts(rows)


def _quarantine_facts(execution: Execution) -> list[tuple[str, str]]:
    """Return why the execution is quarantined, since when, and what to do."""
    quarantine = execution.quarantine
    if quarantine is None:
        return []
    rows = [
        ("quarantined", f"{_time(quarantine.quarantine_time)}  after {quarantine.tries} tries"),
        ("because", quarantine.reason),
    ]
    if execution.cancel_requested:
        return [*rows, ("next", "wait for Cancelled")]
    id_ = execution.execution_id
    return [*rows, ("if repaired", f"workflowctl release {id_}"), ("or", f"workflowctl cancel {id_}")]


def _ended(execution: Execution) -> str:
    if execution.end_time is None or execution.create_time is None:
        return ""
    took = human((execution.end_time - execution.create_time).total_seconds())
    return f"{date_time(execution.end_time)}  after {took}"


def workflow_page(workflow: Any, console: Console) -> RenderableType:
    """Return the page of a workflow with its draft."""
    status = enum_word(workflow_pb2.WorkflowStatus, workflow.status)
    head = single(Text(workflow.workflow_id, style="bold"))
    head.append(f"  {status.capitalize()}", style=_WORKFLOW_STYLES.get(status, ""))
    definition = workflow.definition
    draft = "differs from the active version: publish it to use it" if workflow.draft_changed else ""
    labels = ", ".join(f"{key}={value}" for key, value in sorted(definition.labels.items()))
    rows = [
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
        head, Padding(facts(rows), (0, 2), expand=False), Text(), Padding(tasks, (0, 2), expand=False)
    )


def workflow_status(workflow: Any) -> Text:
    """Return the status in the users' word and its colour."""
    status = enum_word(workflow_pb2.WorkflowStatus, workflow.status)
    return Text(status.capitalize(), style=_WORKFLOW_STYLES.get(status, ""))


def _time(time: Any) -> str:
    return "" if time is None else f"{date_time(time)}  ({age(time)})"
