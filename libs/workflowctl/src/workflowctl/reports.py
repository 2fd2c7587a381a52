"""Join the catalog's report on a definition with the problems that were found in its file."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from workflow_sdk.client import Client
from workflow_sdk.errors import InvalidRequestError, WorkflowError
from workflow_sdk.usage import WorkflowUsage
from workflowsystem.catalog.v1 import report_pb2

from workflowctl.definition_file import DefinitionFile
from workflowctl.errors import Problem, Severity

USAGE_SECONDS = 3.0
"""How long to wait for the orchestrator's report on running executions before it counts as unknown."""


async def validated(client: Client, file: DefinitionFile) -> tuple[list[Problem], Any]:
    """Return every problem of a file in its order, and the catalog's report. Nothing is written.

    The report is None if the catalog refused the request itself, for example because of the workflow's id.
    """
    try:
        report = (await client.validate_workflow(file.workflow_id, file.definition)).message
    except InvalidRequestError as error:
        found = [Problem(v.field, v.description) for v in error.violations]
        if not found:
            raise
        return in_order(file, [*file.problems, *file.locate(found)]), None
    told = [problem for problem in report_problems(report) if not _is_about(problem, file.problems)]
    return in_order(file, [*file.problems, *file.locate(told)]), report


def report_problems(report: Any) -> list[Problem]:
    """Return the problems of a report, each with its path."""
    return [
        Problem(
            problem.field,
            problem.description,
            path=problem.field,
            severity=_severity(problem),
            suggestion=problem.suggestion,
        )
        for problem in report.problems
    ]


def draft_problems(report: Any) -> list[Problem]:
    """Return the problems for people who have no file: the text contains the path."""
    return [
        Problem("", f"{p.path}: {p.text}" if p.path else p.text, p.path, p.severity, p.suggestion)
        for p in report_problems(report)
    ]


def in_order(file: DefinitionFile, problems: Sequence[Problem]) -> list[Problem]:
    """Return the problems in the order of the file."""
    return sorted(problems, key=lambda problem: file.source.position(problem.path))


async def usage_of(client: Client, workflow_id: str, task_types: Sequence[str] = ()) -> WorkflowUsage | None:
    """Return what is running of the workflow, or None if the orchestrator does not answer.

    Commands report a None as unknown and continue.
    """
    try:
        async with asyncio.timeout(USAGE_SECONDS):
            return await client.get_workflow_usage(workflow_id, task_types[:500])
    except (WorkflowError, TimeoutError):
        return None


def as_rows(problems: Sequence[Problem], file: DefinitionFile | None = None) -> list[dict[str, Any]]:
    """Return the problems as rows for scripts."""
    rows = []
    for problem in problems:
        row: dict[str, Any] = {
            "severity": problem.severity.value,
            "field": problem.path,
            "description": problem.description,
            "suggestion": problem.suggestion,
        }
        if file is not None:
            line, column = file.source.position(problem.path)
            row |= {"file": file.source.name, "line": line, "column": column}
        rows.append(row)
    return rows


def _severity(problem: Any) -> Severity:
    is_warning = problem.severity == report_pb2.PROBLEM_SEVERITY_WARNING
    return Severity.WARNING if is_warning else Severity.ERROR


def _is_about(problem: Problem, known: Sequence[Problem]) -> bool:
    """Return whether a known problem is the reason why the catalog misses this value."""
    return any(problem.path == k.path or problem.path.startswith((f"{k.path}.", f"{k.path}[")) for k in known)
