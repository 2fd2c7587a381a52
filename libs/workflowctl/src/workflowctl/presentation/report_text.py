"""Show what a publish would find and affect: problems with their places, and executions that run now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text
from workflow_sdk.usage import COUNTED_UP_TO, VersionUsage, WorkflowUsage
from workflowsystem.catalog.v1 import report_pb2

from workflowctl.errors import Problem, Severity
from workflowctl.presentation.marks import DONE, REFUSED

_SEVERITY_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow"}


def problem_lines(problems: Sequence[Problem]) -> Iterator[Text]:
    """Return a line for each problem: `orders.yaml:5:11  error    tasks[0].when: …`."""
    place_width = max((len(problem.place) for problem in problems), default=0)
    severity_width = max((len(problem.severity) for problem in problems), default=0)
    for problem in problems:
        line = Text(f"  {problem.place:<{place_width}}  ", style="cyan")
        line.append(f"{problem.severity:<{severity_width}}  ", style=_SEVERITY_STYLES[problem.severity])
        yield line.append(problem.text, style="not bold default")


def verdict(name: str, problems: Sequence[Problem], tasks: int, console: Console, note: str = "") -> Text:
    """Return `✔ orders.yaml  valid, 3 tasks`, or `✘ orders.yaml  2 errors, 1 warning`."""
    found = error_count(problems)
    mark = REFUSED if found else DONE
    line = Text(f"{mark.on(console)} ", style=mark.style).append(name, style="bold default")
    line.append("  ", style="not bold default")
    line.append(counted(found, "error") if found else f"valid, {counted(tasks, 'task')}")
    if warnings := len(problems) - found:
        line.append(f", {counted(warnings, 'warning')}")
    return line.append(f"  {note}", style="dim") if note else line


def publish_verdict(workflow: Any, problems: Sequence[Problem], report: Any, console: Console) -> Text:
    """Return the line with the result of a dry run:

    `✔ orders would become version 4; nothing was written`.
    """
    found = error_count(problems)
    mark = REFUSED if found else DONE
    line = Text(f"{mark.on(console)} ", style=mark.style).append(workflow.workflow_id, style="bold default")
    if found:
        what = f"would be refused: {counted(found, 'error')}"
    elif is_unchanged(report):
        what = f"unchanged: version {workflow.active_version} is the same already"
    else:
        what = f"would become version {workflow.active_version + 1}"
    return line.append(f"  {what}; nothing was written", style="not bold default")


def is_unchanged(report: Any) -> bool:
    """Return whether the draft equals the active version, so that a publish does nothing."""
    difference = report.difference
    return bool(difference.base_version) and difference.change_class == report_pb2.CHANGE_CLASS_NONE


def error_count(problems: Sequence[Problem]) -> int:
    """Return the number of problems that prevent a publish."""
    return sum(problem.severity is Severity.ERROR for problem in problems)


def impact_lines(usage: WorkflowUsage | None) -> Iterator[Text]:
    """Yield what a change would affect. `usage` is None if the orchestrator did not answer."""
    head = Text("impact", style="bold")
    if usage is None:
        yield head.append("  unknown: the orchestrator does not answer", style="not bold yellow")
        return
    yield head
    if not usage.versions:
        yield Text("  no execution runs now")
    for version in usage.versions:
        yield Text(f"  version {version.version}: {in_flight_text([version])}; they keep this version")
    yield from missing_worker_lines(usage)
    if not usage.task_types_without_worker:
        yield Text("  every task type has a live worker")


def missing_worker_lines(usage: WorkflowUsage | None) -> Iterator[Text]:
    """Return a line with the task types that no live worker offers, if there are any."""
    if usage is not None and usage.task_types_without_worker:
        missing = ", ".join(usage.task_types_without_worker)
        yield Text("  no live worker offers: ", style="yellow").append(missing, style="bold")


def in_flight_text(versions: Sequence[VersionUsage]) -> str:
    """Return `12 executions in flight (10 running, 2 pending)`, for all versions together."""
    total = sum(version.in_flight for version in versions)
    exact = all(version.exact for version in versions)
    parts = [
        f"{'' if count < COUNTED_UP_TO else 'over '}{count:,} {word}"
        for word, count in (
            ("running", sum(version.running for version in versions)),
            ("pending", sum(version.pending for version in versions)),
            ("paused", sum(version.paused for version in versions)),
        )
        if count
    ]
    number = f"{'' if exact else 'over '}{counted(total, 'execution')}"
    return f"{number} in flight ({', '.join(parts)})" if parts else "no execution in flight"


def task_types(definition: Any) -> list[str]:
    """Return the task types of a definition that a worker must offer, each once."""
    return sorted({task.type for task in definition.tasks if task.type})


def counted(number: int, word: str) -> str:
    """Return `1 task` or `1,200 tasks`."""
    return f"1 {word}" if number == 1 else f"{number:,} {word}s"
