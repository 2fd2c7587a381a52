"""What runs of a workflow: what a change of it would touch. Frozen, in plain Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from workflowsystem.execution.v1 import execution_service_pb2

COUNTED_UP_TO = 10_000
"""A count of this size means: this many or more."""


@dataclass(frozen=True, slots=True)
class VersionUsage:
    """The executions of one version that are not final; each count ends at COUNTED_UP_TO."""

    version: int
    pending: int
    running: int
    paused: int

    @property
    def in_flight(self) -> int:
        """All of them."""
        return self.pending + self.running + self.paused

    @property
    def exact(self) -> bool:
        """Whether no count ended early."""
        return max(self.pending, self.running, self.paused) < COUNTED_UP_TO


@dataclass(frozen=True, slots=True)
class WorkflowUsage:
    """What runs of a workflow at the moment it was asked for."""

    workflow_id: str
    versions: Sequence[VersionUsage]
    """Those with executions in flight, the newest first."""
    task_types_without_worker: Sequence[str]
    """Of the task types asked for, those that no live worker offers, by name."""
    message: execution_service_pb2.WorkflowUsage = field(repr=False, compare=False)

    @property
    def in_flight(self) -> int:
        """The executions in flight of all versions."""
        return sum(version.in_flight for version in self.versions)

    @classmethod
    def from_message(cls, m: execution_service_pb2.WorkflowUsage) -> Self:
        """Return what a message of the contract says."""
        versions = tuple(
            VersionUsage(v.version, v.pending_count, v.running_count, v.paused_count) for v in m.versions
        )
        return cls(m.workflow_id, versions, tuple(m.task_types_without_worker), m)
