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
"""Attempts of all tasks together in the FULL view of an execution, or of all task runs of one page."""

MAX_READ_TASK_BYTES = 3 * 1024 * 1024
"""JSON of the task that a caller chose: an input and an output of 1 MiB, a failure and progress fit."""

MAX_TASK_RUN_WALK = 10_000
"""Task runs that one page of a list looks at if it filters by status or attempts. Such a page may be empty
and still have a next one.
"""

MAX_SUMMARY_RUNS = 200_000
"""Task runs of an execution that are counted for its summaries, which takes about half a second."""


@dataclass(frozen=True, slots=True)
class AttemptDetails:
    """One attempt of a task. `status` is a word of the contract's AttemptStatus: LEASED or RUNNING too."""

    attempt: int
    status: str
    worker_id: str | None
    start_time: datetime | None
    end_time: datetime | None
    failure: Failure | None
    run_number: int


@dataclass(frozen=True, slots=True)
class TaskDetails:
    """A task run with its payloads (null if they are too large together) and every attempt."""

    run: TaskRun
    progress: str | None  # JSON
    attempts: Sequence[AttemptDetails]
    left_out: bool = False  # whether a payload or a failure was not read, as it did not fit


class TaskChoice(NamedTuple):
    """One task of an execution: with its items, or only one item of it."""

    task_id: str
    item: int | None = None


@dataclass(frozen=True, slots=True)
class TaskRunFilter:
    """Which task runs of an execution to list, and whether with payloads, failures and attempts."""

    namespace: str
    execution_id: UUID
    task_id: str = ""  # empty: of all tasks
    statuses: tuple[str, ...] = ()  # the contract's words; empty: all
    min_attempt: int = 0
    full: bool = False

    @property
    def sparse(self) -> bool:
        """Whether it may match nothing in the whole execution."""
        return bool(self.statuses) or self.min_attempt > 0


class TaskRunPage(NamedTuple):
    """In the order of their keys. May be shorter than asked for, also empty, and still have a next page."""

    task_runs: Sequence[TaskDetails]
    next_after: TaskKey | None
    """The next page has the task runs after this key. None on the last page."""


@dataclass(frozen=True, slots=True)
class TaskSummary:
    """How one task stands, with all items of its fan-out."""

    task_id: str
    task_type: str
    status: TaskStatus
    items: Mapping[TaskStatus, int] | None  # None: no fan-out, or one that does not know its items yet
    attempts: int  # of the task, or of all items together
    retried: int  # task runs with more than one attempt
    start_time: datetime | None
    end_time: datetime | None
