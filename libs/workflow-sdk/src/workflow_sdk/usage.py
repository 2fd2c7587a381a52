"""The executions of a workflow that are in flight: a change of the workflow affects them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from workflowsystem.execution.v1 import execution_service_pb2

COUNTED_UP_TO = 10_000
"""A count of this size means: at least this number."""


@dataclass(frozen=True, slots=True)
class VersionUsage:
    """The executions of one version that are not final. Each count stops at COUNTED_UP_TO."""

    version: int
    pending: int
    running: int
    paused: int

    @property
    def in_flight(self) -> int:
        """The number of executions that are not final."""
        return self.pending + self.running + self.paused

    @property
    def exact(self) -> bool:
        """True if no count stopped at COUNTED_UP_TO."""
        return max(self.pending, self.running, self.paused) < COUNTED_UP_TO


@dataclass(frozen=True, slots=True)
class WorkflowUsage:
    """The executions of a workflow that were in flight when the call was made."""

    workflow_id: str
    versions: Sequence[VersionUsage]
    """The versions that have executions in flight, newest first."""
    task_types_without_worker: Sequence[str]
    """The task types in the request that no live worker offers, sorted by name."""
    message: execution_service_pb2.WorkflowUsage = field(repr=False, compare=False)

    @property
    def in_flight(self) -> int:
        """The number of executions in flight, over all versions."""
        return sum(version.in_flight for version in self.versions)

    @classmethod
    def from_message(cls, m: execution_service_pb2.WorkflowUsage) -> Self:
        """Return what a message of the contract says."""
        versions = tuple(
            VersionUsage(v.version, v.pending_count, v.running_count, v.paused_count) for v in m.versions
        )
        return cls(m.workflow_id, versions, tuple(m.task_types_without_worker), m)
