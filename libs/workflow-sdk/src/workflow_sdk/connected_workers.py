"""The connected workers, as `Client.workers` returns them: frozen, in plain Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from workflowsystem.execution.v1 import worker_pb2

from workflow_sdk.statuses import enum_word
from workflow_sdk.times import to_datetime


@dataclass(frozen=True, slots=True)
class HeldTask:
    """A task that a worker holds a lease of."""

    execution_id: str
    task_id: str
    item: int | None
    """The item of a fan-out; None for the task itself."""
    workflow_id: str
    """Empty if the worker got the lease from another replica, like the three fields that follow."""
    task_type: str
    attempt: int
    lease_time: datetime | None
    """When the worker got it."""

    @classmethod
    def from_message(cls, m: worker_pb2.HeldTask) -> Self:
        """Return what a message of the contract says."""
        return cls(
            execution_id=m.execution_id,
            task_id=m.task_id,
            item=m.item if m.HasField("item") else None,
            workflow_id=m.workflow_id,
            task_type=m.task_type,
            attempt=m.attempt,
            lease_time=to_datetime(m, "lease_time"),
        )


@dataclass(frozen=True, slots=True)
class ConnectedWorker:
    """A connection of a worker. A worker of this SDK has one for async handlers and one for sync handlers."""

    namespace: str
    worker_id: str
    """Several workers may have the same name."""
    session_id: str
    protocol: str
    """SESSION, or UNARY for a worker that asks with LeaseTasks."""
    task_types: Sequence[str]
    queues: Sequence[str]
    labels: Mapping[str, str]
    sdk: str
    peer: str
    """The address that it connects from. It is a proxy's address if the worker connects through one."""
    replica: str
    """The replica of the orchestrator that it is connected to."""
    connect_time: datetime | None
    last_message_time: datetime | None
    update_time: datetime | None
    """The time at which all of this was true."""
    slots: int
    busy_slots: int | None
    """The leases that it holds; None for UNARY, because the orchestrator does not know."""
    credits: int
    """The number of leases that it has requested and not received."""
    draining: bool
    """True if it accepts no more leases, because it is about to leave."""
    tasks: Sequence[HeldTask]
    """The tasks that it runs now, at most 100; the one that it has held longest comes first."""
    message: worker_pb2.ConnectedWorker = field(repr=False, compare=False)

    @classmethod
    def from_message(cls, m: worker_pb2.ConnectedWorker) -> Self:
        """Return what a message of the contract says."""
        return cls(
            namespace=m.namespace,
            worker_id=m.worker_id,
            session_id=m.session_id,
            protocol=enum_word(worker_pb2.WorkerProtocol, m.protocol),
            task_types=tuple(m.task_types),
            queues=tuple(m.queues),
            labels=dict(m.labels),
            sdk=m.sdk,
            peer=m.peer,
            replica=m.replica,
            connect_time=to_datetime(m, "connect_time"),
            last_message_time=to_datetime(m, "last_message_time"),
            update_time=to_datetime(m, "update_time"),
            slots=m.slots,
            busy_slots=m.busy_slots if m.HasField("busy_slots") else None,
            credits=m.credits,
            draining=m.draining,
            tasks=tuple(HeldTask.from_message(task) for task in m.tasks),
            message=m,
        )
