"""The catalog's findings in a definition, as `Client` returns them: frozen, in plain Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from workflowsystem.catalog.v1 import report_pb2

from workflow_sdk.statuses import ChangeClass, ChangeKind, ProblemSeverity
from workflow_sdk.values import from_value


@dataclass(frozen=True, slots=True)
class DefinitionProblem:
    """A problem of a definition."""

    field: str
    """The path within the definition: `tasks[2].when`."""
    description: str
    """A problem of a definition, and what to do about it."""
    severity: ProblemSeverity
    suggestion: str
    """A similar name that the author probably meant; empty if no name is similar."""

    @classmethod
    def from_message(cls, m: report_pb2.Problem) -> Self:
        """Return what a message of the contract says."""
        return cls(m.field, m.description, ProblemSeverity.of(m.severity), m.suggestion)


@dataclass(frozen=True, slots=True)
class DefinitionChange:
    """One difference between two definitions."""

    path: str
    """The path of the change. It names tasks by their id, such as `tasks[charge].when`."""
    kind: ChangeKind
    change_class: ChangeClass
    before: Any
    """The value before. None also if it is too large to be sent; `kind` says whether there was a value."""
    after: Any
    """The value after; None as for `before`."""
    reason: str
    """Which inputs may be refused, for a MAJOR change; else empty."""

    @classmethod
    def from_message(cls, m: report_pb2.Change) -> Self:
        """Return what a message of the contract says."""
        return cls(
            path=m.path,
            kind=ChangeKind.of(m.kind),
            change_class=ChangeClass.of(m.change_class),
            before=from_value(m.before),
            after=from_value(m.after),
            reason=m.reason,
        )


@dataclass(frozen=True, slots=True)
class WorkflowDifference:
    """The differences between two definitions of a workflow."""

    base_version: int
    """The version that was compared with; 0 if no version was published."""
    target_version: int
    """The other version; 0 is a draft."""
    change_class: ChangeClass
    """The greatest class of all changes."""
    changes: Sequence[DefinitionChange]
    """The first 1,000 changes, sorted by path."""
    message: report_pb2.WorkflowDifference = field(repr=False, compare=False)

    @classmethod
    def from_message(cls, m: report_pb2.WorkflowDifference) -> Self:
        """Return what a message of the contract says."""
        return cls(
            base_version=m.base_version,
            target_version=m.target_version,
            change_class=ChangeClass.of(m.change_class),
            changes=tuple(DefinitionChange.from_message(change) for change in m.changes),
            message=m,
        )


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """The problems and the changes that a publish of a definition would find."""

    valid: bool
    """True if the definition can be published: no problem is an ERROR."""
    problems: Sequence[DefinitionProblem]
    """The first 100: errors before warnings, then in the order of the definition."""
    difference: WorkflowDifference | None
    """The differences from the active version; None if no version was published."""
    content_hash: str
    """SHA-256 of the definition's canonical JSON, in hex."""
    message: report_pb2.ValidationReport = field(repr=False, compare=False)

    @classmethod
    def from_message(cls, m: report_pb2.ValidationReport) -> Self:
        """Return what a message of the contract says."""
        return cls(
            valid=m.valid,
            problems=tuple(DefinitionProblem.from_message(problem) for problem in m.problems),
            difference=WorkflowDifference.from_message(m.difference) if m.HasField("difference") else None,
            content_hash=m.content_hash,
            message=m,
        )
