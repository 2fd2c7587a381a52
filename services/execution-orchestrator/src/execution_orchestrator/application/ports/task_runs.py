"""The task runs of one execution, as reads return them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from execution_orchestrator.domain.failure import Failure
from execution_orchestrator.domain.state_machine import TaskStatus
from execution_orchestrator.domain.task import TaskKey, TaskRun

MAX_LIST_ATTEMPTS = 2_000
"""The sum of the attempts of all tasks in the FULL view of an execution, or of all task runs of one page."""

MAX_READ_TASK_BYTES = 3 * 1024 * 1024
"""JSON of the task that a caller chose. An input and an output of 1 MiB, a failure and progress fit."""

MAX_TASK_RUN_WALK = 10_000
"""Task runs that one page of a list looks at if it filters by status or attempts. Such a page may be empty
and still have a next one.
"""

MAX_SUMMARY_RUNS = 200_000
"""Task runs of an execution that one read counts for the summaries. This takes about half a second."""


@dataclass(frozen=True, slots=True)
class AttemptDetails:
    """One attempt of a task. `status` is a word of the contract's AttemptStatus, also RUNNING."""

    attempt: int
    status: str
    worker_id: str | None
    start_time: datetime | None
    end_time: datetime | None
    failure: Failure | None
    run_number: int


@dataclass(frozen=True, slots=True)
class TaskDetails:
    """A task run with its payloads and every attempt. Payloads that are too large together are null."""

    run: TaskRun
    progress: str | None  # JSON
    attempts: Sequence[AttemptDetails]
    left_out: bool = False  # True if a payload or a failure was too large to read


class TaskChoice(NamedTuple):
    """One task of an execution: with all its items, or only one of them."""

    task_id: str
    item: int | None = None


@dataclass(frozen=True, slots=True)
class TaskRunFilter:
    """The filters of a list of task runs. A `full` list has payloads, failures and attempts."""

    namespace: str
    execution_id: UUID
    task_id: str = ""  # empty: all tasks
    statuses: tuple[str, ...] = ()  # the contract's words; empty: all
    min_attempt: int = 0
    full: bool = False

    @property
    def sparse(self) -> bool:
        """True if a page may have to look at many task runs that do not match."""
        return bool(self.statuses) or self.min_attempt > 0


class TaskRunPage(NamedTuple):
    """Task runs, in key order. A page may be shorter than the limit, also empty, and still have a next
    page.
    """

    task_runs: Sequence[TaskDetails]
    next_after: TaskKey | None
    """The next page has the task runs after this key. None on the last page."""


@dataclass(frozen=True, slots=True)
class TaskSummary:
    """The summary of one task, with all items of its fan-out."""

    task_id: str
    task_type: str
    status: TaskStatus
    items: Mapping[TaskStatus, int] | None  # None: not a fan-out, or not expanded yet
    attempts: int  # of the task, or of all items together
    retried: int  # task runs with more than one attempt
    start_time: datetime | None
    end_time: datetime | None
