"""What the client returns about executions: frozen, in plain Python; `.message` is what was received."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self, cast

from google.protobuf.timestamp_pb2 import Timestamp
from workflowsystem.execution.v1 import event_pb2, execution_pb2
from workflowsystem.type.v1 import failure_pb2

from workflow_sdk.values import from_struct, from_value


class ExecutionStatus(StrEnum):
    """Where an execution stands, in the users' words."""

    PENDING = "Pending"
    """Queued, waiting for a worker."""
    RUNNING = "Running"
    """A worker has taken a task of it."""
    COMPLETED = "Completed"
    """Every task is final and none failed."""
    FAILED = "Failed"
    """A task failed for good, or the execution timed out; `final` says whether more can come."""
    CANCELLED = "Cancelled"
    """Cancelled by a user."""
    PAUSED = "Paused"
    """No task starts until it is resumed."""
    UNKNOWN = "Unknown"
    """A status that this version of the SDK does not know: update it."""

    @classmethod
    def of(cls, number: int) -> ExecutionStatus:
        """The status of the contract's enum value."""
        return cls.__members__.get(enum_word(execution_pb2.ExecutionStatus, number), cls.UNKNOWN)

    @property
    def number(self) -> execution_pb2.ExecutionStatus:
        """The contract's enum value."""
        number = execution_pb2.ExecutionStatus.Value(f"EXECUTION_STATUS_{self.name}")
        return cast("execution_pb2.ExecutionStatus", number)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a user's work failed."""

    type: str
    """The exception's class, or one of the engine's own, such as `StartToCloseTimeout`."""
    message: str
    details: str
    """A stack trace, where there is one."""
    non_retryable: bool
    task_id: str
    item: int | None
    attempt: int
    retry_state: str
    """Why no retry followed; empty where one did."""

    @classmethod
    def from_message(cls, m: failure_pb2.Failure) -> Self:
        """Of the contract's message."""
        item = m.item if m.HasField("item") else None
        return cls(m.type, m.message, m.details, m.non_retryable, m.task_id, item, m.attempt, m.retry_state)


@dataclass(frozen=True, slots=True)
class TaskCounts:
    """How many task runs stand where; `total` grows when a fan-out learns its items."""

    total: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    skipped: int = 0

    @property
    def ended(self) -> int:
        """Task runs that are final."""
        return self.succeeded + self.failed + self.cancelled + self.skipped

    @classmethod
    def from_message(cls, m: execution_pb2.TaskCounts) -> Self:
        """Of the contract's message."""
        return cls(m.total, m.running, m.succeeded, m.failed, m.cancelled, m.skipped)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a task run."""

    attempt: int
    """From 1."""
    status: str
    """LEASED, RUNNING, SUCCEEDED, FAILED, TIMED_OUT, CANCELLED, LOST or HANDED_BACK."""
    worker_id: str
    start_time: datetime | None
    end_time: datetime | None
    failure: Failure | None
    run_number: int
    """The run of the execution in which it was made."""

    @classmethod
    def from_message(cls, m: execution_pb2.Attempt) -> Self:
        """Of the contract's message."""
        return cls(
            attempt=m.attempt,
            status=enum_word(execution_pb2.AttemptStatus, m.status),
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
    status: str
    """BLOCKED, READY, RUNNING, BACKING_OFF, WAITING, SUCCEEDED, FAILED, CANCELLED or SKIPPED."""
    attempt: int
    input: Any
    output: Any
    failure: Failure | None
    worker_id: str
    progress: Any
    start_time: datetime | None
    """When the attempt under way, or the last one, began."""
    end_time: datetime | None
    ready_time: datetime | None
    """When it last began to wait for a worker. It stays when a worker takes the task."""
    run_number: int
    """The run of the execution that it belongs to."""
    attempts: Sequence[Attempt]
    """The oldest first."""
    left_out: bool
    """True if a payload, a failure or an attempt did not fit into the answer."""
    message: execution_pb2.TaskRun = field(repr=False, compare=False)

    @property
    def waited_seconds(self) -> float | None:
        """How long the last attempt waited in the queue. None: it did not begin yet, or that is not known."""
        if self.ready_time is None or self.start_time is None or self.start_time < self.ready_time:
            return None
        return (self.start_time - self.ready_time).total_seconds()

    @classmethod
    def from_message(cls, m: execution_pb2.TaskRun) -> Self:
        """Of the contract's message."""
        return cls(
            task_id=m.task_id,
            item=m.item if m.HasField("item") else None,
            task_type=m.task_type,
            status=enum_word(execution_pb2.TaskStatus, m.status),
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
    """How one task stands, with all items of its fan-out."""

    task_id: str
    task_type: str
    status: str
    """As TaskRun.status; of a fan-out, the whole of it."""
    item_counts: Mapping[str, int] | None
    """Items by status, only those that are not 0. None: no fan-out, or its items are not known yet."""
    attempt_count: int
    """Attempts so far, of all items together."""
    retried_count: int
    """Task runs that needed a second attempt, or more."""
    start_time: datetime | None
    """When the first attempt began; of a fan-out, when it learned its items."""
    end_time: datetime | None

    @classmethod
    def from_message(cls, m: execution_pb2.TaskSummary) -> Self:
        """Of the contract's message."""
        items = {f.name.upper(): number for f, number in m.item_counts.ListFields() if f.name != "total"}
        return cls(
            task_id=m.task_id,
            task_type=m.task_type,
            status=enum_word(execution_pb2.TaskStatus, m.status),
            item_counts=items if m.HasField("item_counts") else None,
            attempt_count=m.attempt_count,
            retried_count=m.retried_count,
            start_time=to_datetime(m, "start_time"),
            end_time=to_datetime(m, "end_time"),
        )


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Why an execution stands still: the engine could not decide what follows from its commands.

    Repair the cause, then call `Client.release`; or call `Client.cancel`.
    """

    reason: str
    tries: int
    """How often the engine tried before it quarantined the execution."""
    quarantine_time: datetime | None

    @classmethod
    def from_message(cls, m: execution_pb2.Quarantine) -> Self:
        """Of the contract's message."""
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
    """The run that it is in, from 1."""
    last_sequence: int
    """The sequence number of its last event."""
    labels: Mapping[str, str]
    input: Mapping[str, Any] | None
    """Only where the full view was asked for."""
    output: Any
    """None until Completed."""
    failure: Failure | None
    cancel_requested: bool
    create_time: datetime | None
    start_time: datetime | None
    end_time: datetime | None
    task_counts: TaskCounts
    tasks: Sequence[TaskRun]
    """Only where the full view was asked for; at most 1,000. `Client.task_runs` brings all of them."""
    task_summaries: Sequence[TaskSummary]
    """One for each task, by id, which counts all task runs. Only where the full view was asked for."""
    quarantine: Quarantine | None
    """Set while the execution is quarantined; the status stays what it was."""
    message: execution_pb2.Execution = field(repr=False, compare=False)

    @classmethod
    def from_message(cls, m: execution_pb2.Execution) -> Self:
        """Of the contract's message."""
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
    """1, 2, 3, without a gap within the execution."""
    time: datetime | None
    type: str
    """Such as EXECUTION_STARTED or TASK_SUCCEEDED."""
    status: ExecutionStatus
    """The execution's status after it."""
    task_id: str
    item: int | None
    attempt: int
    worker_id: str
    failure: Failure | None
    next_attempt_time: datetime | None
    task_counts: TaskCounts
    """The counts after it."""
    reason: str
    final: bool
    """True for the last event of this run of the execution."""
    run_number: int
    """The run of the execution in which it happened."""
    item_count: int | None
    """How many items a fan-out has. Only of TASK_EXPANDED."""
    message: event_pb2.ExecutionEvent = field(repr=False, compare=False)

    @classmethod
    def from_message(cls, m: event_pb2.ExecutionEvent) -> Self:
        """Of the contract's message."""
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
    """One message of a watch: the execution as it was when the watch began, or what happened since."""

    snapshot: Execution | None
    event: Event | None
    resume_token: str
    """Where to go on after this; good for every gateway."""


@dataclass(frozen=True, slots=True)
class QueueStats:
    """What waits in one queue."""

    queue: str
    length: int
    oldest_age_seconds: float | None
    """None where nothing waits."""


@dataclass(frozen=True, slots=True)
class StartRequest:
    """One start of a batch; the fields are those of `Client.start`."""

    workflow_id: str
    input: Mapping[str, Any] = field(default_factory=dict)
    request_id: str | None = None
    version: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)


def enum_word(enum: Any, number: int) -> str:
    """The value's name without the prefix that all values of the enum share (`TASK_STATUS_READY`: READY)."""
    prefix = enum.Name(0).removesuffix("UNSPECIFIED")
    value = enum.DESCRIPTOR.values_by_number.get(number)
    return "UNKNOWN" if value is None else str(value.name).removeprefix(prefix)


def to_datetime(message: Any, name: str) -> datetime | None:
    """The field of type Timestamp as a datetime in UTC; None where it is not set."""
    if not message.HasField(name):
        return None
    value: Timestamp = getattr(message, name)
    return value.ToDatetime(tzinfo=UTC)
