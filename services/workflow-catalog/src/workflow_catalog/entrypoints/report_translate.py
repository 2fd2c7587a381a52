"""Translate reports and differences to messages of the contract."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf import json_format, struct_pb2
from service_kit.rpc import paging
from workflowsystem.catalog.v1 import report_pb2

from workflow_catalog.application.reports import Report
from workflow_catalog.domain.comparison import Change, ChangeClass, ChangeKind, Difference
from workflow_catalog.domain.comparison.difference import MISSING
from workflow_catalog.domain.problem import Problem, Severity

_SEVERITIES: Final = {
    Severity.ERROR: report_pb2.PROBLEM_SEVERITY_ERROR,
    Severity.WARNING: report_pb2.PROBLEM_SEVERITY_WARNING,
}
_CLASSES: Final = {
    ChangeClass.NONE: report_pb2.CHANGE_CLASS_NONE,
    ChangeClass.PATCH: report_pb2.CHANGE_CLASS_PATCH,
    ChangeClass.MINOR: report_pb2.CHANGE_CLASS_MINOR,
    ChangeClass.MAJOR: report_pb2.CHANGE_CLASS_MAJOR,
}
_KINDS: Final = {
    ChangeKind.ADDED: report_pb2.CHANGE_KIND_ADDED,
    ChangeKind.REMOVED: report_pb2.CHANGE_KIND_REMOVED,
    ChangeKind.CHANGED: report_pb2.CHANGE_KIND_CHANGED,
}

MAX_DIFFERENCE_BYTES = 3 * 512 * 1024
"""Size of a difference. The response of a publish also has a definition of up to 1.5 MiB and the problems.
gRPC accepts messages of up to 4 MiB.
"""


def report(found: Report) -> report_pb2.ValidationReport:
    """Return the message of a report on what a publish would find and change."""
    return report_pb2.ValidationReport(
        problems=map(_problem, found.problems),
        valid=not found.errors,
        difference=difference(found.difference, found.base_version) if found.base_version else None,
        content_hash=found.content_hash,
    )


def difference(
    found: Difference, base_version: int, target_version: int = 0
) -> report_pb2.WorkflowDifference:
    """Return the message of a difference. A target of 0 is a draft.

    If the message is too large, leave out the values. If it is still too large, leave out the last changes.
    """
    message = report_pb2.WorkflowDifference(
        base_version=base_version,
        target_version=target_version,
        change_class=_CLASSES[found.change_class],
        changes=map(_change, found.changes),
    )
    if message.ByteSize() > MAX_DIFFERENCE_BYTES:
        for change in message.changes:
            change.ClearField("before")
            change.ClearField("after")
        kept = len(paging.fitting(message.changes, MAX_DIFFERENCE_BYTES))
        del message.changes[kept:]
    return message


def _problem(problem: Problem) -> report_pb2.Problem:
    return report_pb2.Problem(
        field=problem.field,
        description=problem.description,
        severity=_SEVERITIES[problem.severity],
        suggestion=problem.suggestion,
    )


def _change(change: Change) -> report_pb2.Change:
    return report_pb2.Change(
        path=change.path,
        before=_value(change.before),
        after=_value(change.after),
        kind=_KINDS[change.kind],
        change_class=_CLASSES[change.change_class],
        reason=change.reason,
    )


def _value(value: Any) -> struct_pb2.Value | None:
    return None if value is MISSING else json_format.ParseDict(value, struct_pb2.Value())
