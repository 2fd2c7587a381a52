"""The client's answers about executions: frozen, in plain Python; `.message` is what it received."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from workflowsystem.execution.v1 import event_pb2, execution_pb2
from workflowsystem.type.v1 import failure_pb2

from workflow_sdk.statuses import AttemptStatus, ExecutionStatus, TaskStatus, enum_word
from workflow_sdk.times import to_datetime
from workflow_sdk.values import from_struct, from_value


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a user's work failed."""

    type: str
    """The exception's class, or one of the engine's own, such as `StartToCloseTimeout`."""
    message: str
    details: str
    """A stack trace; may be empty."""
    non_retryable: bool
    task_id: str
    item: int | None
    attempt: int
    retry_state: str
    """Why no retry followed; empty if one did."""

    @classmethod
    def from_message(cls, m: failure_pb2.Failure) -> Self:
        """Return what a message of the contract says."""
        item = m.item if m.HasField("item") else None
        return cls(m.type, m.message, m.details, m.non_retryable, m.task_id, item, m.attempt, m.retry_state)


@dataclass(frozen=True, slots=True)
class TaskCounts:
    """The number of task runs by status; `total` grows when a fan-out learns its items."""

    total: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    skipped: int = 0

    @property
    def ended(self) -> int:
        """The number of task runs that are final."""
        return self.succeeded + self.failed + self.cancelled + self.skipped

    @classmethod
    def from_message(cls, m: execution_pb2.TaskCounts) -> Self:
        """Return what a message of the contract says."""
        return cls(m.total, m.running, m.succeeded, m.failed, m.cancelled, m.skipped)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a task run."""

    attempt: int
    """From 1."""
    status: AttemptStatus
    worker_id: str
    start_time: datetime | None
    end_time: datetime | None
    failure: Failure | None
    run_number: int
    """The run of the execution to which it belongs."""

    @classmethod
    def from_message(cls, m: execution_pb2.Attempt) -> Self:
        """Return what a message of the contract says."""
        return cls(
            attempt=m.attempt,
            status=AttemptStatus.of(m.status),
            worker_id=m.worker_id,
            start_time=to_datetime(m, "start_time"),
            end_time=to_datetime(m, "end_time"),
            failure=Failure.from_message(m.failure) if m.HasField("failure") else None,
            run_number=m.run_number,
        )


@dataclass(frozen=True, slots=True)
class TaskRun:
    """One run of a task: the task itself, or one item of a fan-out."""

    task_id: str
    item: int | None
    task_type: str
    status: TaskStatus
    attempt: int
    input: Any
    output: Any
    failure: Failure | None
    worker_id: str
    progress: Any
    start_time: datetime | None
    """When the current attempt, or the last one, began."""
    end_time: datetime | None
    ready_time: datetime | None
    """When it last began to wait for a worker. It stays when a worker takes the task."""
    run_number: int
    """The run of the execution to which it belongs."""
    attempts: Sequence[Attempt]
    """The oldest first."""
    left_out: bool
    """True if a payload, a failure or an attempt did not fit into the answer."""
    message: execution_pb2.TaskRun = field(repr=False, compare=False)

    @property
    def waited_seconds(self) -> float | None:
        """How long the last attempt waited in the queue. None if it has not begun, or if nobody knows."""
        if self.ready_time is None or self.start_time is None or self.start_time < self.ready_time:
            return None
        return (self.start_time - self.ready_time).total_seconds()

    @classmethod
    def from_message(cls, m: execution_pb2.TaskRun) -> Self:
        """Return what a message of the contract says."""
        return cls(
            task_id=m.task_id,
            item=m.item if m.HasField("item") else None,
            task_type=m.task_type,
            status=TaskStatus.of(m.status),
            attempt=m.attempt,
            input=from_value(m.input),
            output=from_value(m.output),
            failure=Failure.from_message(m.failure) if m.HasField("failure") else None,
            worker_id=m.worker_id,
            progress=from_value(m.progress),
            start_time=to_datetime(m, "start_time"),
            end_time=to_datetime(m, "end_time"),
            ready_time=to_datetime(m, "ready_time"),
            run_number=m.run_number,
            attempts=tuple(Attempt.from_message(attempt) for attempt in m.attempts),
            left_out=m.left_out,
            message=m,
        )


@dataclass(frozen=True, slots=True)
class TaskSummary:
    """The state of one task, with all items of its fan-out."""

    task_id: str
    task_type: str
    status: TaskStatus
    """Of a fan-out: the status of the whole."""
    item_counts: Mapping[str, int] | None
    """The number of items by status, without zeros. None if it has no items, or does not know them yet."""
    attempt_count: int
    """Attempts so far, over all items."""
    retried_count: int
    """Task runs that needed more than one attempt."""
    start_time: datetime | None
    """When the first attempt began. Of a fan-out: when it learned its items."""
    end_time: datetime | None

    @classmethod
    def from_message(cls, m: execution_pb2.TaskSummary) -> Self:
        """Return what a message of the contract says."""
        items = {f.name.upper(): number for f, number in m.item_counts.ListFields() if f.name != "total"}
        return cls(
            task_id=m.task_id,
            task_type=m.task_type,
            status=TaskStatus.of(m.status),
            item_counts=items if m.HasField("item_counts") else None,
            attempt_count=m.attempt_count,
            retried_count=m.retried_count,
            start_time=to_datetime(m, "start_time"),
            end_time=to_datetime(m, "end_time"),
        )


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Why an execution makes no progress: the engine could not decide what follows from its commands.

    Repair the cause, then call `Client.release`; or call `Client.cancel`.
    """

    reason: str
    tries: int
    """How often the engine tried before it quarantined the execution."""
    quarantine_time: datetime | None

    @classmethod
    def from_message(cls, m: execution_pb2.Quarantine) -> Self:
        """Return what a message of the contract says."""
        return cls(m.reason, m.tries, to_datetime(m, "quarantine_time"))


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution of a version of a workflow."""

    namespace: str
    execution_id: str
    workflow_id: str
    version: int
    status: ExecutionStatus
    final: bool
    """True if this run has ended: no further event of it can come."""
    run_number: int
    """Its current run, from 1."""
    last_sequence: int
    """The sequence number of its last event."""
    labels: Mapping[str, str]
    input: Mapping[str, Any] | None
    """None unless the full view was requested."""
    output: Any
    """None until Completed."""
    failure: Failure | None
    cancel_requested: bool
    create_time: datetime | None
    start_time: datetime | None
    end_time: datetime | None
    task_counts: TaskCounts
    tasks: Sequence[TaskRun]
    """Empty unless the full view was requested; at most 1,000. `Client.task_runs` returns all of them."""
    task_summaries: Sequence[TaskSummary]
    """One for each task, sorted by id; it counts all task runs. Empty unless the full view was requested."""
    quarantine: Quarantine | None
    """Set while the execution is quarantined; the status stays what it was."""
    message: execution_pb2.Execution = field(repr=False, compare=False)

    @classmethod
    def from_message(cls, m: execution_pb2.Execution) -> Self:
        """Return what a message of the contract says."""
        return cls(
            namespace=m.namespace,
            execution_id=m.execution_id,
            workflow_id=m.workflow_id,
            version=m.version,
            status=ExecutionStatus.of(m.status),
            final=m.final,
            run_number=m.run_number,
            last_sequence=m.last_sequence,
            labels=dict(m.labels),
            input=from_struct(m.input) if m.HasField("input") else None,
            output=from_value(m.output),
            failure=Failure.from_message(m.failure) if m.HasField("failure") else None,
            cancel_requested=m.cancel_requested,
            create_time=to_datetime(m, "create_time"),
            start_time=to_datetime(m, "start_time"),
            end_time=to_datetime(m, "end_time"),
            task_counts=TaskCounts.from_message(m.task_counts),
            tasks=tuple(TaskRun.from_message(task) for task in m.tasks),
            task_summaries=tuple(TaskSummary.from_message(summary) for summary in m.task_summaries),
            quarantine=Quarantine.from_message(m.quarantine) if m.HasField("quarantine") else None,
            message=m,
        )


@dataclass(frozen=True, slots=True)
class Event:
    """One fact of an execution's history."""

    execution_id: str
    sequence: int
    """1, 2, 3 and so on, without a gap within the execution."""
    time: datetime | None
    type: str
    """For example EXECUTION_STARTED or TASK_SUCCEEDED."""
    status: ExecutionStatus
    """The execution's status after the event."""
    task_id: str
    item: int | None
    attempt: int
    worker_id: str
    failure: Failure | None
    next_attempt_time: datetime | None
    task_counts: TaskCounts
    """The counts after the event."""
    reason: str
    final: bool
    """True for the last event of this run of the execution."""
    run_number: int
    """The run of the execution in which it happened."""
    item_count: int | None
    """The number of items of a fan-out. Only for TASK_EXPANDED."""
    message: event_pb2.ExecutionEvent = field(repr=False, compare=False)

    @classmethod
    def from_message(cls, m: event_pb2.ExecutionEvent) -> Self:
        """Return what a message of the contract says."""
        return cls(
            execution_id=m.execution_id,
            sequence=m.sequence,
            time=to_datetime(m, "time"),
            type=enum_word(event_pb2.ExecutionEventType, m.type),
            status=ExecutionStatus.of(m.status),
            task_id=m.task_id,
            item=m.item if m.HasField("item") else None,
            attempt=m.attempt,
            worker_id=m.worker_id,
            failure=Failure.from_message(m.failure) if m.HasField("failure") else None,
            next_attempt_time=to_datetime(m, "next_attempt_time"),
            task_counts=TaskCounts.from_message(m.task_counts),
            reason=m.reason,
            final=m.final,
            run_number=m.run_number,
            item_count=m.item_count if m.HasField("item_count") else None,
            message=m,
        )


@dataclass(frozen=True, slots=True)
class WatchUpdate:
    """One message of a watch: the execution as it was when the watch began, or one later event."""

    snapshot: Execution | None
    event: Event | None
    resume_token: str
    """Give it to `Client.watch` to continue after this update; every gateway accepts it."""


@dataclass(frozen=True, slots=True)
class QueueStats:
    """The jobs that wait in one queue."""

    queue: str
    length: int
    oldest_age_seconds: float | None
    """How long the oldest job has waited; None if no job waits."""


@dataclass(frozen=True, slots=True)
class StartRequest:
    """One start of a batch; the fields are those of `Client.start`."""

    workflow_id: str
    input: Mapping[str, Any] = field(default_factory=dict)
    request_id: str | None = None
    version: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
