"""Workflows and their versions, as `Client` returns them: frozen, in plain Python.

`workflow_sdk.Workflow` is another class: with it a program writes a definition. A definition stays the
contract's message here, because every call that takes one takes this message.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from workflowsystem.catalog.v1 import definition_pb2, workflow_pb2

from workflow_sdk.reports import ValidationReport
from workflow_sdk.statuses import WorkflowStatus
from workflow_sdk.times import to_datetime


@dataclass(frozen=True, slots=True)
class WorkflowInfo:
    """A workflow of the catalog: a draft that can be edited, and the versions that were published from it."""

    namespace: str
    workflow_id: str
    status: WorkflowStatus
    definition: definition_pb2.WorkflowDefinition
    """The draft. In lists it has only `description`, `labels` and `owner`."""
    etag: str
    """Names this state of the draft, for `update_workflow`, `publish_workflow` and `delete_workflow`."""
    active_version: int
    """The version that new executions use; 0 before the first publish."""
    draft_changed: bool
    """True if the draft differs from the active version, or if no version was published."""
    create_time: datetime | None
    update_time: datetime | None
    """When the draft or the status last changed."""
    report: ValidationReport | None
    """Set by `publish_workflow`: the problems, and the differences from the version that was active."""
    message: workflow_pb2.Workflow = field(repr=False, compare=False)

    @classmethod
    def from_message(cls, m: workflow_pb2.Workflow) -> Self:
        """Return what a message of the contract says."""
        return cls(
            namespace=m.namespace,
            workflow_id=m.workflow_id,
            status=WorkflowStatus.of(m.status),
            definition=m.definition,
            etag=m.etag,
            active_version=m.active_version,
            draft_changed=m.draft_changed,
            create_time=to_datetime(m, "create_time"),
            update_time=to_datetime(m, "update_time"),
            report=ValidationReport.from_message(m.report) if m.HasField("report") else None,
            message=m,
        )


@dataclass(frozen=True, slots=True)
class WorkflowVersion:
    """A published version of a workflow, which never changes."""

    namespace: str
    workflow_id: str
    version: int
    """From 1, without gaps."""
    definition: definition_pb2.WorkflowDefinition
    """Empty in lists."""
    content_hash: str
    """SHA-256 of the definition's canonical JSON, in hex: equal definitions have equal hashes."""
    publish_time: datetime | None
    message: workflow_pb2.WorkflowVersion = field(repr=False, compare=False)

    @classmethod
    def from_message(cls, m: workflow_pb2.WorkflowVersion) -> Self:
        """Return what a message of the contract says."""
        return cls(
            namespace=m.namespace,
            workflow_id=m.workflow_id,
            version=m.version,
            definition=m.definition,
            content_hash=m.content_hash,
            publish_time=to_datetime(m, "publish_time"),
            message=m,
        )
