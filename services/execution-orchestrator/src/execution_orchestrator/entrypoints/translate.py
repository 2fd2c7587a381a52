"""The domain's objects as messages of the contract. One constructor call makes each: this is the hot path."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from service_kit.data.consistency import EVENTUAL, STRONG, ReadConsistency, at_least
from workflow_contract.messages import duration, timestamp
from workflowsystem.execution.v1 import event_pb2, execution_pb2, execution_service_pb2
from workflowsystem.type.v1 import failure_pb2, read_consistency_pb2

from execution_orchestrator.application.ports.queue import QueueStats
from execution_orchestrator.application.ports.reads import VersionUsage
from execution_orchestrator.domain.events import FINAL_EVENT_TYPES, Event, EventType
from execution_orchestrator.domain.execution import Execution, Pause, Quarantine
from execution_orchestrator.domain.failure import Failure
from execution_orchestrator.domain.state_machine import ExecutionStatus
from execution_orchestrator.entrypoints.struct_json import value_message

__all__ = [
    "consistency_of",
    "duration",
    "event_message",
    "execution_message",
    "failure_message",
    "queue_message",
    "timestamp",
    "version_usage_message",
]

_EXECUTION_STATUS: dict[ExecutionStatus, Any] = {
    status: execution_pb2.ExecutionStatus.Value(f"EXECUTION_STATUS_{status}") for status in ExecutionStatus
}
_STATUS_OF = {number: status for status, number in _EXECUTION_STATUS.items()}
_EVENT_TYPE: dict[EventType, Any] = {
    type_: event_pb2.ExecutionEventType.Value(f"EXECUTION_EVENT_TYPE_{type_}") for type_ in EventType
}


def execution_message(
    execution: Execution, *, consistency_token: str = "", with_output: bool = True
) -> execution_pb2.Execution:
    """Return an execution in the BASIC view. It takes up to a second if the output is large."""
    e = execution
    return execution_pb2.Execution(
        namespace=e.namespace,
        execution_id=str(e.id),
        workflow_id=e.workflow_id,
        version=e.version,
        status=_EXECUTION_STATUS[e.status],
        state_version=e.state_version,
        last_sequence=e.last_sequence,
        run_number=e.run_number,
        final=e.final,
        labels=e.labels,
        output=None if e.output is None or not with_output else value_message(e.output),
        # A paused execution may have a failure that takes effect at the resume. Callers do not see it before.
        failure=failure_message(e.failure) if e.status is ExecutionStatus.FAILED else None,
        pause=None if e.pause is None else _pause_message(e.pause),
        cancel_requested=e.cancel_requested,
        cancel_deadline=timestamp(e.cancel_deadline),
        cancel_reason=e.cancel_reason,
        create_time=timestamp(e.create_time),
        start_time=timestamp(e.start_time),
        end_time=timestamp(e.end_time),
        timeout_time=timestamp(e.timeout_time),
        task_counts=_counts_message(e.counts),
        consistency_token=consistency_token,
        quarantine=None if e.quarantine is None else _quarantine_message(e.quarantine),
    )


def event_message(namespace: str, execution_id: UUID, event: Event) -> event_pb2.ExecutionEvent:
    """Return an event of an execution."""
    return event_pb2.ExecutionEvent(
        namespace=namespace,
        execution_id=str(execution_id),
        sequence=event.sequence,
        time=timestamp(event.time),
        type=_EVENT_TYPE[event.type],
        status=_EXECUTION_STATUS[event.status],
        task_id=event.task_id,
        item=event.item,
        attempt=event.attempt,
        worker_id=event.worker_id,
        failure=failure_message(event.failure),
        next_attempt_time=timestamp(event.next_attempt_time),
        task_counts=_counts_message(event.counts),
        reason=event.reason,
        final=event.type in FINAL_EVENT_TYPES,
        run_number=event.run_number,
        item_count=event.item_count,
    )


def failure_message(failure: Failure | None) -> failure_pb2.Failure | None:
    """Return a failure, or None."""
    if failure is None:
        return None
    return failure_pb2.Failure(
        type=failure.type,
        message=failure.message,
        details=failure.details,
        non_retryable=failure.non_retryable,
        task_id=failure.task_id,
        item=failure.item,
        attempt=failure.attempt,
        retry_state=failure.retry_state,
    )


def queue_message(stats: QueueStats) -> execution_pb2.QueueStats:
    """Return the statistics of one queue."""
    age = stats.oldest_age_seconds
    oldest = None if age is None else duration(timedelta(seconds=age))
    return execution_pb2.QueueStats(queue=stats.queue, length=stats.length, oldest_age=oldest)


def version_usage_message(usage: VersionUsage) -> execution_service_pb2.VersionUsage:
    """Return the numbers of executions in flight of one version."""
    return execution_service_pb2.VersionUsage(
        version=usage.version,
        pending_count=usage.pending,
        running_count=usage.running,
        paused_count=usage.paused,
    )


def task_status_of(number: int) -> str:
    """Return the word for a TaskStatus of the contract, also for one that no task run can have yet."""
    return execution_pb2.TaskStatus.Name(number).removeprefix("TASK_STATUS_")


def status_of(number: int) -> ExecutionStatus:
    """Return the status for a number of the contract. The number must not be UNSPECIFIED."""
    return _STATUS_OF[number]


def status_value(status: str) -> Any:
    """Return the contract's number of an execution's status, such as "RUNNING"."""
    return _EXECUTION_STATUS[ExecutionStatus(status)]


def consistency_of(message: read_consistency_pb2.ReadConsistency) -> ReadConsistency:
    """Return how fresh a read must be. Raise ServiceError INVALID_ARGUMENT for a damaged token."""
    if message.consistency_token:
        return at_least(message.consistency_token)
    strong = message.level == read_consistency_pb2.ReadConsistency.LEVEL_STRONG
    return STRONG if strong else EVENTUAL


def _quarantine_message(quarantine: Quarantine) -> execution_pb2.Quarantine:
    return execution_pb2.Quarantine(
        quarantine_time=timestamp(quarantine.quarantine_time),
        reason=quarantine.reason,
        tries=quarantine.tries,
    )


def _pause_message(pause: Pause) -> execution_pb2.Pause:
    return execution_pb2.Pause(
        mode=f"PAUSE_MODE_{pause.mode}",
        clock_policy=f"CLOCK_POLICY_{pause.clock_policy}",
        reason=pause.reason,
        actor=pause.actor,
        pause_time=timestamp(pause.pause_time),
        quiesced_time=timestamp(pause.quiesced_time),
    )


def _counts_message(counts: tuple[int, int, int, int, int, int]) -> execution_pb2.TaskCounts:
    total, running, succeeded, failed, cancelled, skipped = counts
    return execution_pb2.TaskCounts(
        total=total,
        running=running,
        succeeded=succeeded,
        failed=failed,
        cancelled=cancelled,
        skipped=skipped,
    )
