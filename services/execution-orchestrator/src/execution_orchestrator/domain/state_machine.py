"""START HERE. Which status follows on which, for executions and for task runs.

The rules:

1. A status changes only along a row of these tables. What is not a row is a failed lookup: it raises
   `IllegalTransitionError` and changes nothing.
2. There is no hidden seventh execution status. What else must be known (a pause's details, a requested
   cancel, a deadline) is fields of the same row, written by the same statement.
3. Paused goes back to the status it came from: Pending or Running, never anything else.
4. A terminal status has no way out.

`docs/state-machine.md` is generated from these tables.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from execution_orchestrator.domain.errors import IllegalTransitionError


class ExecutionStatus(StrEnum):
    """Where an execution stands; the users' words."""

    PENDING = "PENDING"  # queued, waiting for a worker
    RUNNING = "RUNNING"  # a worker has taken a task of it
    COMPLETED = "COMPLETED"  # every task is final and none failed for good
    FAILED = "FAILED"  # a task failed for good, or time ran out
    CANCELLED = "CANCELLED"  # by a user
    PAUSED = "PAUSED"  # no task starts until it is resumed


class ExecutionTrigger(StrEnum):
    """What moves an execution."""

    START = "the first task is claimed"
    PAUSE = "PauseExecution"
    RESUME_PENDING = "ResumeExecution, paused while Pending"
    RESUME_RUNNING = "ResumeExecution, paused while Running"
    COMPLETE = "every task is final, none failed for good"
    FAIL = "a task failed for good"
    TIME_OUT = "the execution timeout passed"
    CANCEL = "CancelExecution, nothing in flight or the grace over"


class TaskStatus(StrEnum):
    """Where one run of a task stands."""

    BLOCKED = "BLOCKED"  # waits for the tasks it needs, or for its turn in a fan-out
    READY = "READY"  # waits for a worker
    RUNNING = "RUNNING"  # a worker has it; for a fan-out: its items are under way
    BACKING_OFF = "BACKING_OFF"  # waits for its next attempt
    WAITING = "WAITING"  # waits for a time or a signal, with no worker
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    SKIPPED = "SKIPPED"  # its condition was false


class TaskTrigger(StrEnum):
    """What moves a task run."""

    UNBLOCK = "what it needs has ended"
    SKIP = "its condition is false"
    EXPAND = "its fan-out begins"
    CLAIM = "a worker takes it"
    SUCCEED = "the result came"
    RETRY = "the attempt failed, budget is left"
    REQUEUE = "the worker was lost or gave it back"
    BACK_OFF_OVER = "the back-off is over"
    FAIL = "it can't begin, or no attempt is left"
    CANCEL = "the execution was cancelled or failed"


class AttemptStatus(StrEnum):
    """How one attempt of a task ended."""

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"
    CANCELLED = "CANCELLED"
    LOST = "LOST"
    HANDED_BACK = "HANDED_BACK"


_E, _On = ExecutionStatus, ExecutionTrigger
EXECUTION_TRANSITIONS: Mapping[tuple[ExecutionStatus, ExecutionTrigger], ExecutionStatus] = MappingProxyType(
    {
        (_E.PENDING, _On.START): _E.RUNNING,
        (_E.PENDING, _On.PAUSE): _E.PAUSED,
        (_E.PENDING, _On.FAIL): _E.FAILED,  # its first task waited too long in the queue
        (_E.PENDING, _On.TIME_OUT): _E.FAILED,
        (_E.PENDING, _On.CANCEL): _E.CANCELLED,
        (_E.RUNNING, _On.PAUSE): _E.PAUSED,
        (_E.RUNNING, _On.COMPLETE): _E.COMPLETED,
        (_E.RUNNING, _On.FAIL): _E.FAILED,
        (_E.RUNNING, _On.TIME_OUT): _E.FAILED,
        (_E.RUNNING, _On.CANCEL): _E.CANCELLED,
        (_E.PAUSED, _On.RESUME_PENDING): _E.PENDING,
        (_E.PAUSED, _On.RESUME_RUNNING): _E.RUNNING,
        (_E.PAUSED, _On.CANCEL): _E.CANCELLED,
    }
)

_T, _When = TaskStatus, TaskTrigger
TASK_TRANSITIONS: Mapping[tuple[TaskStatus, TaskTrigger], TaskStatus] = MappingProxyType(
    {
        (_T.BLOCKED, _When.UNBLOCK): _T.READY,
        (_T.BLOCKED, _When.SKIP): _T.SKIPPED,
        (_T.BLOCKED, _When.EXPAND): _T.RUNNING,
        (_T.BLOCKED, _When.FAIL): _T.FAILED,  # an expression of it could not be evaluated
        (_T.BLOCKED, _When.CANCEL): _T.CANCELLED,
        (_T.READY, _When.CLAIM): _T.RUNNING,
        (_T.READY, _When.FAIL): _T.FAILED,  # it waited too long in the queue
        (_T.READY, _When.CANCEL): _T.CANCELLED,
        (_T.RUNNING, _When.SUCCEED): _T.SUCCEEDED,
        (_T.RUNNING, _When.RETRY): _T.BACKING_OFF,
        (_T.RUNNING, _When.REQUEUE): _T.READY,
        (_T.RUNNING, _When.FAIL): _T.FAILED,
        (_T.RUNNING, _When.CANCEL): _T.CANCELLED,
        (_T.BACKING_OFF, _When.BACK_OFF_OVER): _T.READY,
        (_T.BACKING_OFF, _When.CANCEL): _T.CANCELLED,
        (_T.WAITING, _When.CANCEL): _T.CANCELLED,
    }
)

FINAL_EXECUTION_STATUSES = frozenset({_E.COMPLETED, _E.FAILED, _E.CANCELLED})
FINAL_TASK_STATUSES = frozenset({_T.SUCCEEDED, _T.FAILED, _T.CANCELLED, _T.SKIPPED})


def next_execution_status(status: ExecutionStatus, trigger: ExecutionTrigger) -> ExecutionStatus:
    """The status that follows; raises IllegalTransitionError where the table has no row."""
    try:
        return EXECUTION_TRANSITIONS[status, trigger]
    except KeyError:
        raise IllegalTransitionError(status, trigger) from None


def next_task_status(status: TaskStatus, trigger: TaskTrigger) -> TaskStatus:
    """The status that follows; raises IllegalTransitionError where the table has no row."""
    try:
        return TASK_TRANSITIONS[status, trigger]
    except KeyError:
        raise IllegalTransitionError(status, trigger) from None
