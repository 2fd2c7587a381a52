"""The workers that are connected, as `Client.workers` returns them: frozen, in plain Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from workflowsystem.execution.v1 import worker_pb2

from workflow_sdk.models import enum_word, to_datetime


@dataclass(frozen=True, slots=True)
class HeldTask:
    """A task in the hands of a worker."""

    execution_id: str
    task_id: str
    item: int | None
    """The item of a fan-out; None for the task itself."""
    workflow_id: str
    """Empty if the worker got the lease on another replica; so are the three fields that follow."""
    task_type: str
    attempt: int
    lease_time: datetime | None
    """Since when the worker has it."""

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
    """One connection of a worker: a worker of this SDK has one for its async handlers, one for sync ones."""

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
    """The address that it is connected from; of a gateway or proxy, if there is one between."""
    replica: str
    """The replica of the orchestrator that it is connected to."""
    connect_time: datetime | None
    last_message_time: datetime | None
    update_time: datetime | None
    """As of when all of this holds."""
    slots: int
    busy_slots: int | None
    """The leases in its hands; None for UNARY, as nobody knows."""
    credits: int
    """How many more leases it has asked for."""
    draining: bool
    """Whether it takes no more leases, because it is about to leave."""
    tasks: Sequence[HeldTask]
    """What it runs now, the longest held first; at most 100."""
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
