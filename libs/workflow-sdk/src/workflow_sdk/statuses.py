"""The words for the states of workflows, executions, task runs and attempts.

Each is a str: it compares with the word, and prints as the word. UNKNOWN is any state of a later
release; install a newer SDK to see its name.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Self

from workflowsystem.catalog.v1 import report_pb2, workflow_pb2
from workflowsystem.execution.v1 import execution_pb2


class Word(StrEnum):
    """A value of one of the contract's enums, as a word. Every subclass has UNKNOWN."""

    @classmethod
    def of(cls, number: int) -> Self:
        """Return the word for a value of the contract's enum, or UNKNOWN."""
        return cls.__members__.get(enum_word(_CONTRACT_ENUMS[cls], number), cls["UNKNOWN"])

    @property
    def number(self) -> Any:
        """The value of the contract's enum. Raises ValueError for UNKNOWN."""
        enum = _CONTRACT_ENUMS[type(self)]
        return enum.Value(_prefix(enum) + self.name)


class WorkflowStatus(Word):
    """The states of a workflow, in the users' words."""

    DRAFT = "Draft"
    """It was never published: no execution can start."""
    ACTIVE = "Active"
    """Executions can start."""
    INACTIVE = "Inactive"
    """No execution can start; running executions continue."""
    ARCHIVED = "Archived"
    """Read-only permanently; running executions continue."""
    UNKNOWN = "Unknown"


class ExecutionStatus(Word):
    """How far an execution is, in the users' words."""

    PENDING = "Pending"
    """Queued: it waits for a worker."""
    RUNNING = "Running"
    """A worker has taken one of its tasks."""
    COMPLETED = "Completed"
    """Every task is final and none failed."""
    FAILED = "Failed"
    """A task failed permanently, or the execution timed out; `final` says whether more events can come."""
    CANCELLED = "Cancelled"
    """Cancelled by a user."""
    PAUSED = "Paused"
    """No task starts until it is resumed."""
    UNKNOWN = "Unknown"


class TaskStatus(Word):
    """How far a task run is."""

    BLOCKED = "BLOCKED"
    """It waits for the tasks that it needs, or for its turn in a fan-out."""
    READY = "READY"
    """It waits in the queue for a worker."""
    RUNNING = "RUNNING"
    """A worker has it. Of a fan-out: its items are under way."""
    BACKING_OFF = "BACKING_OFF"
    """An attempt failed, and the next one starts later."""
    WAITING = "WAITING"
    """It waits for a time or a signal, without a worker. This release never sends it."""
    SUCCEEDED = "SUCCEEDED"
    """Final: it has an output."""
    FAILED = "FAILED"
    """Final: no attempt follows."""
    CANCELLED = "CANCELLED"
    """Final: the execution was cancelled or failed before it ended."""
    SKIPPED = "SKIPPED"
    """Final: its `when` was false."""
    UNKNOWN = "UNKNOWN"


class AttemptStatus(Word):
    """How far an attempt is."""

    LEASED = "LEASED"
    """A worker got it. This release never sends it: RUNNING begins with the claim."""
    RUNNING = "RUNNING"
    """A worker claimed it. The handler may not have begun: the lease may still be on its way."""
    SUCCEEDED = "SUCCEEDED"
    """The handler returned the task's output."""
    FAILED = "FAILED"
    """The handler failed."""
    TIMED_OUT = "TIMED_OUT"
    """A deadline passed."""
    CANCELLED = "CANCELLED"
    """It was cancelled with its execution."""
    LOST = "LOST"
    """The worker died, or did not renew its lease. It does not count for the retry policy."""
    HANDED_BACK = "HANDED_BACK"
    """The worker was draining, and handed it back unfinished. It does not count for the retry policy."""
    UNKNOWN = "UNKNOWN"


class ProblemSeverity(Word):
    """Errors keep a definition from being published; warnings do not."""

    ERROR = "ERROR"
    """It does."""
    WARNING = "WARNING"
    """It does not, but it probably is a mistake."""
    UNKNOWN = "UNKNOWN"


class ChangeClass(Word):
    """The consequence of a change of a definition for the callers of the workflow and for its operators."""

    NONE = "NONE"
    """Nothing differs."""
    PATCH = "PATCH"
    """The tasks do the same work."""
    MINOR = "MINOR"
    """The tasks do other work; every input that was accepted is still accepted."""
    MAJOR = "MAJOR"
    """An input that was accepted may be refused."""
    UNKNOWN = "UNKNOWN"


class ChangeKind(Word):
    """The kind of a change of a value of a definition."""

    ADDED = "ADDED"
    REMOVED = "REMOVED"
    CHANGED = "CHANGED"
    UNKNOWN = "UNKNOWN"


def enum_word(enum: Any, number: int) -> str:
    """Return the value's name without the prefix that all values of the enum share.

    `TASK_STATUS_READY` becomes READY. A number that this release does not know becomes UNKNOWN.
    """
    value = enum.DESCRIPTOR.values_by_number.get(number)
    return "UNKNOWN" if value is None else str(value.name).removeprefix(_prefix(enum))


def _prefix(enum: Any) -> str:
    return str(enum.Name(0).removesuffix("UNSPECIFIED"))


_CONTRACT_ENUMS: dict[type[Word], Any] = {
    WorkflowStatus: workflow_pb2.WorkflowStatus,
    ExecutionStatus: execution_pb2.ExecutionStatus,
    TaskStatus: execution_pb2.TaskStatus,
    AttemptStatus: execution_pb2.AttemptStatus,
    ProblemSeverity: report_pb2.ProblemSeverity,
    ChangeClass: report_pb2.ChangeClass,
    ChangeKind: report_pb2.ChangeKind,
}
