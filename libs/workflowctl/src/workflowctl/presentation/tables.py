"""Tables of executions, workflows, versions and queues."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text
from workflow_sdk.models import Execution, QueueStats
from workflow_sdk.times import to_datetime

from workflowctl.durations import human
from workflowctl.presentation.details import workflow_status
from workflowctl.presentation.event_lines import age, date_time
from workflowctl.presentation.marks import STATUS
from workflowctl.presentation.plain_table import PlainTable

ID_WIDTH = 36
HASH_CHARS = 12


def _table(*columns: str) -> PlainTable:
    table = PlainTable()
    for column in columns:
        # A user cannot copy an id that is cut off.
        table.add_column(column, no_wrap=True, min_width=ID_WIDTH if column == "execution" else None)
    return table


def executions_table(executions: Sequence[Execution], console: Console) -> Table:
    """Return a table of executions, in the given order."""
    table = _table("execution", "workflow", "status", "tasks", "created", "took")
    for execution in executions:
        counts = execution.task_counts
        took = ""
        if execution.create_time is not None and execution.end_time is not None:
            took = human((execution.end_time - execution.create_time).total_seconds())
        table.add_row(
            execution.execution_id,
            Text(f"{execution.workflow_id} v{execution.version}"),
            _status_cell(execution, console),
            f"{counts.ended}/{counts.total}",
            age(execution.create_time),
            took,
        )
    return table


def _status_cell(execution: Execution, console: Console) -> Text:
    mark = STATUS[execution.status]
    cell = Text(f"{mark.on(console)} {execution.status}", style=mark.style)
    if execution.quarantine is not None:
        cell.append(" quarantined", style="not bold red")
    return cell


def workflows_table(workflows: Sequence[Any]) -> Table:
    """Return a table of workflows, in the given order."""
    table = _table("workflow", "status", "version", "draft", "owner", "labels", "updated")
    for workflow in workflows:
        labels = sorted(workflow.definition.labels.items())
        table.add_row(
            Text(workflow.workflow_id, style="bold"),
            workflow_status(workflow),
            str(workflow.active_version or "-"),
            "changed" if workflow.draft_changed else "",
            Text(workflow.definition.owner),
            Text(" ".join(f"{key}={value}" for key, value in labels)),
            age(to_datetime(workflow, "update_time")),
        )
    return table


def versions_table(versions: Sequence[Any], active_version: int, status: str) -> Table:
    """Return a table of versions, in the given order.

    `status` is the workflow's, which the active version shares.
    """
    table = _table("version", "published", "", "hash", "")
    for version in versions:
        time = to_datetime(version, "publish_time")
        table.add_row(
            Text(str(version.version), style="bold"),
            date_time(time),
            age(time),
            Text(version.content_hash[:HASH_CHARS], style="dim"),
            Text(status.lower(), style="green") if version.version == active_version else "",
        )
    return table


def queues_table(queues: Sequence[QueueStats]) -> Table:
    """Return a table of queues, in the given order."""
    table = _table("queue", "waiting", "oldest")
    for queue in queues:
        oldest = "" if queue.oldest_age_seconds is None else human(queue.oldest_age_seconds)
        table.add_row(Text(queue.queue), f"{queue.length:,}", oldest)
    return table
