"""What happened. An event is a fact of the past, numbered within its execution without a gap."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from execution_orchestrator.domain.failure import Failure
from execution_orchestrator.domain.state_machine import ExecutionStatus


class EventType(StrEnum):
    """The kinds of events; the same words as in the contract."""

    EXECUTION_CREATED = "EXECUTION_CREATED"
    EXECUTION_STARTED = "EXECUTION_STARTED"
    EXECUTION_PAUSED = "EXECUTION_PAUSED"
    EXECUTION_QUIESCED = "EXECUTION_QUIESCED"
    EXECUTION_RESUMED = "EXECUTION_RESUMED"
    CANCEL_REQUESTED = "CANCEL_REQUESTED"
    EXECUTION_COMPLETED = "EXECUTION_COMPLETED"
    EXECUTION_FAILED = "EXECUTION_FAILED"
    EXECUTION_CANCELLED = "EXECUTION_CANCELLED"
    TASK_EXPANDED = "TASK_EXPANDED"
    TASK_STARTED = "TASK_STARTED"
    TASK_SUCCEEDED = "TASK_SUCCEEDED"
    TASK_RETRY_SCHEDULED = "TASK_RETRY_SCHEDULED"
    TASK_REQUEUED = "TASK_REQUEUED"
    TASK_FAILED = "TASK_FAILED"
    TASK_SKIPPED = "TASK_SKIPPED"
    TASK_CANCELLED = "TASK_CANCELLED"
    EXECUTION_QUARANTINED = "EXECUTION_QUARANTINED"
    EXECUTION_RELEASED = "EXECUTION_RELEASED"


FINAL_EVENT_TYPES = frozenset(
    {EventType.EXECUTION_COMPLETED, EventType.EXECUTION_FAILED, EventType.EXECUTION_CANCELLED}
)


@dataclass(frozen=True, slots=True)
class Event:
    """One fact of an execution's history."""

    sequence: int
    type: EventType
    status: ExecutionStatus  # of the execution, after it
    time: datetime
    counts: tuple[int, int, int, int, int, int]
    task_id: str | None = None
    item: int | None = None
    attempt: int | None = None
    worker_id: str | None = None
    failure: Failure | None = None
    next_attempt_time: datetime | None = None
    reason: str | None = None
    item_count: int | None = None  # of TASK_EXPANDED
    run_number: int = 1  # of the execution
