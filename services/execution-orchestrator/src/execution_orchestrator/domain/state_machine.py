"""START HERE. Which status follows which, for executions and for task runs.

The rules:

1. A status changes only along a row of these tables. If there is no such row, the lookup fails: it raises
   `IllegalTransitionError` and changes nothing.
2. There are six execution statuses, and no hidden seventh. Everything else (a pause's details, a requested
   cancel, a deadline, a quarantine) is a field of the same database row, written by the same statement.
3. Paused goes back to the status before the pause: Pending or Running, never anything else.
4. A final status has no way out.

Theory of operation

    An execution has one machine, and each of its task runs has one. They drive each other; in rules/, one
    module has each direction.

    From a task run to its neighbours (scheduling.py). When a task run succeeds or is skipped, each task that
    needs it has one unmet need less. A task without unmet needs takes UNBLOCK, SKIP, EXPAND or FAIL, as its
    expressions say. EXPAND is for a fan-out: the parent is RUNNING without a worker, and its items are task
    runs of their own. When an item succeeds, the next item gets its turn; the last one takes the parent
    along SUCCEED.

    From the task runs to the execution (finishing.py). The first claim takes the execution along START.
    After every step that ends a task run, or takes it from its worker, `settle` looks at the counters of the
    execution. If every task run is final, that is COMPLETE. If one has failed and gets no other attempt, it
    is FAIL. While the execution is paused or is being cancelled, `settle` waits instead: for the resume, or
    until no attempt is in flight.

    From the execution to its task runs (steering.py, finishing.py, clocks.py). A start creates them BLOCKED
    and unblocks those without needs. FAIL, TIME_OUT and CANCEL take every task run that is not final along
    CANCEL, so a final execution has only final task runs. PAUSE changes no task run's status: it freezes
    timers, and nothing is claimed until RESUME thaws them.

    Time drives both (timers.py): the end of a lease, a timeout or the end of a back-off moves a task run; the
    execution timeout or the end of a cancel's grace moves the execution.

What the tables cannot see

    The tables say which step is possible, not when it is allowed. A claim, for example, is a row for every
    READY task run; rules/claims.py refuses it if the execution is paused, quarantined, cancelled or final.

    WARNING: eight changes of many rows are made by SQL, without a lookup in these tables. Their reference is
    rules/bulk.py. They are the six of `BulkChange` (adapters/postgres/store_sql.py), the renewal of claims
    (lease_sql.py), and the time that jobs get back after an outage (upkeep_sql.py). Two of them,
    CANCEL_WAITING and CANCEL_ALL, change a status, along the rows CANCEL. If you change those rows, or a
    field that one of the eight writes, change the statement and its reference as well:
    tests/contract/orchestrator/test_bulk_changes.py compares the two.

`docs/state-machine.md` is generated from these tables.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from execution_orchestrator.domain.errors import IllegalTransitionError


class ExecutionStatus(StrEnum):
    """The status of an execution, in the words that users see."""

    PENDING = "PENDING"  # no worker has claimed a task of it yet
    RUNNING = "RUNNING"  # a worker has claimed a task of it
    COMPLETED = "COMPLETED"  # every task run is final, and none has failed
    FAILED = "FAILED"  # a task failed and gets no other attempt, or a time ran out
    CANCELLED = "CANCELLED"  # a user cancelled it
    PAUSED = "PAUSED"  # no task starts until it is resumed


class ExecutionTrigger(StrEnum):
    """An occasion on which the status of an execution changes."""

    START = "the first task is claimed"
    PAUSE = "PauseExecution"
    RESUME_PENDING = "ResumeExecution, paused while Pending"
    RESUME_RUNNING = "ResumeExecution, paused while Running"
    COMPLETE = "every task run is final, and none has failed"
    FAIL = "a task failed and gets no other attempt"
    TIME_OUT = "the execution timeout passed"
    CANCEL = "CancelExecution, and nothing is in flight or the grace is over"


class TaskStatus(StrEnum):
    """The status of a task run."""

    BLOCKED = "BLOCKED"  # waits for the tasks it needs, or for its turn in a fan-out
    READY = "READY"  # waits for a worker
    RUNNING = "RUNNING"  # a worker has it; of a fan-out: its items are under way
    BACKING_OFF = "BACKING_OFF"  # waits for its next attempt
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    SKIPPED = "SKIPPED"  # its condition was false


class TaskTrigger(StrEnum):
    """An occasion on which the status of a task run changes."""

    UNBLOCK = "every task that it needs has ended, or it is its turn in a fan-out"
    SKIP = "its condition is false"
    EXPAND = "its fan-out begins"
    CLAIM = "a worker claims it"
    SUCCEED = "the worker reports the output, or the last item of the fan-out has ended"
    RETRY = "the attempt failed, and the retry policy allows another one"
    REQUEUE = "the worker was lost, or handed it back"
    BACK_OFF_OVER = "the back-off is over"
    FAIL = "it cannot begin, or no attempt is left"
    CANCEL = "the execution is cancelled, or has failed"


class AttemptStatus(StrEnum):
    """The end of one attempt."""

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
        (_T.BLOCKED, _When.FAIL): _T.FAILED,  # one of its expressions could not be evaluated
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
    }
)

FINAL_EXECUTION_STATUSES = frozenset({_E.COMPLETED, _E.FAILED, _E.CANCELLED})
FINAL_TASK_STATUSES = frozenset({_T.SUCCEEDED, _T.FAILED, _T.CANCELLED, _T.SKIPPED})


def next_execution_status(status: ExecutionStatus, trigger: ExecutionTrigger) -> ExecutionStatus:
    """Return the status that follows. Raise IllegalTransitionError if the table has no such row."""
    try:
        return EXECUTION_TRANSITIONS[status, trigger]
    except KeyError:
        raise IllegalTransitionError(status, trigger) from None


def next_task_status(status: TaskStatus, trigger: TaskTrigger) -> TaskStatus:
    """Return the status that follows. Raise IllegalTransitionError if the table has no such row."""
    try:
        return TASK_TRANSITIONS[status, trigger]
    except KeyError:
        raise IllegalTransitionError(status, trigger) from None
