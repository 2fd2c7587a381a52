"""Events: the facts of an execution's history, numbered without a gap."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from execution_orchestrator.domain.failure import Failure
from execution_orchestrator.domain.state_machine import ExecutionStatus


class EventType(StrEnum):
    """The type of an event. The contract has the same words."""

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
    status: ExecutionStatus  # of the execution, after the event
    time: datetime
    counts: tuple[int, int, int, int, int, int]
    task_id: str | None = None
    item: int | None = None
    attempt: int | None = None
    worker_id: str | None = None
    failure: Failure | None = None
    next_attempt_time: datetime | None = None
    reason: str | None = None
    item_count: int | None = None  # of TASK_EXPANDED: the items of the fan-out
    run_number: int = 1  # of the execution
