"""The FULL view, within one message: an execution with its input, tasks and attempts; or task runs.

An input and an output always fit, see `limits.MAX_PAYLOAD_VALUE_BYTES`. The facts of every task run come
next. Then the payloads, failures and attempts follow in the order of the tasks, until the message is full.
"""

from collections.abc import Iterable
from typing import Any, Final

from google.protobuf.message import Message
from service_kit.rpc import paging
from workflow_contract.messages import timestamp
from workflowsystem.execution.v1 import execution_pb2

from execution_orchestrator.application.ports.reads import ExecutionDetails
from execution_orchestrator.application.ports.task_runs import AttemptDetails, TaskDetails, TaskSummary
from execution_orchestrator.domain.state_machine import TaskStatus
from execution_orchestrator.entrypoints.struct_json import struct_message, value_bytes
from execution_orchestrator.entrypoints.translate import execution_message, failure_message

MAX_PAGE_BYTES: Final = paging.MAX_PAGE_BYTES
"""The size of a page of task runs. A page of one task run may have more, up to MAX_VIEW_BYTES."""

MAX_VIEW_BYTES: Final = 4 * 1024 * 1024 - 64 * 1024
"""The size of an execution, or of one task run, in the FULL view. By default, clients of gRPC read messages
of up to 4 MiB.
"""

_FIELD_BYTES: Final = 6
"""The tag and the length before a message that is part of another one."""

_TASK_STATUS: dict[TaskStatus, Any] = {
    status: execution_pb2.TaskStatus.Value(f"TASK_STATUS_{status}") for status in TaskStatus
}
_ATTEMPT_STATUS: dict[str, Any] = {
    name.removeprefix("ATTEMPT_STATUS_"): number for name, number in execution_pb2.AttemptStatus.items()
}


class _Room:
    """The bytes that are left of a message's limit."""

    def __init__(self, left_bytes: int) -> None:
        self.left_bytes = left_bytes

    def takes(self, size_bytes: int) -> bool:
        """Return whether a field of this size fits, and count it if it does."""
        needed = size_bytes + _FIELD_BYTES
        if needed > self.left_bytes:
            return False
        self.left_bytes -= needed
        return True


def weight_of(details: ExecutionDetails) -> int:
    """Return how much JSON an execution has, which decides the cost of its message."""
    own = (details.execution.output, details.input)
    return sum(len(text) for text in own if text is not None) + weight_of_runs(details.tasks)


def weight_of_runs(tasks: Iterable[TaskDetails]) -> int:
    """Return how much JSON task runs have, which decides the cost of their messages."""
    texts = (text for task in tasks for text in (task.run.input, task.run.output, task.progress))
    return sum(len(text) for text in texts if text is not None)


def details_message(details: ExecutionDetails) -> execution_pb2.Execution:
    """Return an execution with everything that was read and fits. This takes up to a second."""
    message = execution_message(details.execution)
    if details.input is not None and (struct := struct_message(details.input)) is not None:
        message.input.CopyFrom(struct)
    message.task_summaries.extend(map(_summary_message, details.summaries))
    message.tasks.extend(map(_facts, details.tasks))
    room = _Room(MAX_VIEW_BYTES - message.ByteSize())
    for task, run in zip(details.tasks, message.tasks, strict=True):
        _complete(run, task, room)
    return message


def task_run_messages(tasks: Iterable[TaskDetails], *, full: bool) -> list[execution_pb2.TaskRun]:
    """Return the first task runs, as many as fit into a page, at least one. This takes up to a second."""
    return paging.fitting(map(_whole if full else _facts, tasks), MAX_PAGE_BYTES)


def _whole(task: TaskDetails) -> execution_pb2.TaskRun:
    message = _facts(task)
    _complete(message, task, _Room(MAX_VIEW_BYTES - message.ByteSize()))
    return message


def _complete(message: execution_pb2.TaskRun, task: TaskDetails, room: _Room) -> None:
    """Add to a task run what fits, and mark it if something does not fit."""
    fits = [_add_payloads(message, task, room), _add_attempts(message, task, room)]
    message.left_out = task.left_out or not all(fits)


def _summary_message(summary: TaskSummary) -> execution_pb2.TaskSummary:
    message = execution_pb2.TaskSummary(
        task_id=summary.task_id,
        task_type=summary.task_type,
        status=_TASK_STATUS[summary.status],
        attempt_count=summary.attempts,
        retried_count=summary.retried,
        start_time=timestamp(summary.start_time),
        end_time=timestamp(summary.end_time),
    )
    if summary.items is not None:
        counts = {status.lower(): number for status, number in summary.items.items()}
        message.item_counts.CopyFrom(execution_pb2.ItemCounts(total=sum(counts.values()), **counts))
    return message


def _facts(task: TaskDetails) -> execution_pb2.TaskRun:
    run = task.run
    return execution_pb2.TaskRun(
        task_id=run.key.task_id,
        item=run.item,
        task_type=run.task_type,
        status=_TASK_STATUS[run.status],
        attempt=run.attempt,
        epoch=run.epoch,
        next_attempt_time=timestamp(run.wake_time) if run.status is TaskStatus.BACKING_OFF else None,
        start_time=timestamp(run.start_time),
        end_time=timestamp(run.end_time),
        worker_id=run.worker_id,
        ready_time=timestamp(run.last_ready_time or run.ready_time),
        run_number=run.run_number,
    )


def _add_payloads(message: execution_pb2.TaskRun, task: TaskDetails, room: _Room) -> bool:
    """Add the payloads and the failure that fit. Return whether all of them do."""
    run = task.run
    fits = [
        _add(message.input, run.input, room),
        _add(message.output, run.output, room),
        _add(message.progress, task.progress, room),
    ]
    failure = failure_message(run.failure)
    if failure is not None:
        fits.append(room.takes(failure.ByteSize()))
        if fits[-1]:
            message.failure.CopyFrom(failure)
    return all(fits)


def _add(field: Message, text: str | None, room: _Room) -> bool:
    if text is None:
        return True
    if len(text) > 2 * room.left_bytes:  # it will not fit, so do not convert it
        return False
    value = value_bytes(text)
    if value is None or not room.takes(len(value)):
        return False
    field.MergeFromString(value)
    return True


def _add_attempts(message: execution_pb2.TaskRun, task: TaskDetails, room: _Room) -> bool:
    """Add the attempts that fit, without their failures if these do not. Return whether everything does."""
    complete = True
    for each in task.attempts:
        attempt = _attempt_message(each)
        if not room.takes(attempt.ByteSize()):
            complete = False
            attempt.ClearField("failure")
            if not room.takes(attempt.ByteSize()):
                continue
        message.attempts.append(attempt)
    return complete


def _attempt_message(attempt: AttemptDetails) -> execution_pb2.Attempt:
    return execution_pb2.Attempt(
        attempt=attempt.attempt,
        status=_ATTEMPT_STATUS[attempt.status],
        worker_id=attempt.worker_id,
        start_time=timestamp(attempt.start_time),
        end_time=timestamp(attempt.end_time),
        failure=failure_message(attempt.failure),
        run_number=attempt.run_number,
    )
