"""One run of a task, and what a worker is given of it."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from execution_orchestrator.domain.failure import Failure
from execution_orchestrator.domain.rows import Row
from execution_orchestrator.domain.state_machine import FINAL_TASK_STATUSES, AttemptStatus, TaskStatus

NO_ITEM = -1
"""The item of a task run that is not one of a fan-out."""


class TaskKey(NamedTuple):
    """Which run of which task, within one execution."""

    task_id: str
    item: int = NO_ITEM


class Claim(NamedTuple):
    """One claim of one task run, as worker and engine name it to each other: the fence and its secret.

    A report or heartbeat counts only if the task run has this epoch and this token still.
    """

    execution_id: UUID
    key: TaskKey
    epoch: int
    token: bytes

    def __repr__(self) -> str:
        """Describe the claim without its secret, so that no log shows it."""
        return f"Claim({self.execution_id}, {self.key}, epoch={self.epoch})"


@dataclass
class TaskRun(Row):
    """A task of an execution, or one item of its fan-out.

    The `epoch` is the fence: it grows at every claim and every revoke and never shrinks, so a report with an
    older one is of a claim that is over.

    A claim begins unconfirmed: it has a lease of its own, `lease_expire_time`. The first heartbeat of its
    worker confirms it. From then on the lease of the worker process holds, and `lease_expire_time` is None.
    """

    key: TaskKey
    task_type: str
    queue: str
    status: TaskStatus = TaskStatus.BLOCKED
    unmet_needs: int = 0
    attempt: int = 0
    failed_attempts: int = 0
    lost_attempts: int = 0
    epoch: int = 0
    worker_id: str | None = None
    boot_id: str | None = None
    ready_time: datetime | None = None  # set exactly while it may be in the queue
    lease_expire_time: datetime | None = None
    close_time: datetime | None = None
    heartbeat_timeout: timedelta | None = None
    silence_time: datetime | None = None
    wake_time: datetime | None = None  # when a timer must look at it
    frozen: timedelta | None = None  # while the execution is frozen: what was left until wake_time
    start_time: datetime | None = None
    end_time: datetime | None = None
    items_open: int = 0
    next_item: int = 0
    # Set by the decision that learns them, never loaded; where they are None, what is stored stays.
    input: str | None = None  # JSON
    output: str | None = None  # JSON
    failure: Failure | None = None  # the last one
    last_ready_time: datetime | None = None  # as ready_time, but it stays when a worker takes the task
    claim_token: bytes | None = field(default=None, repr=False)  # the secret of the last claim
    input_bytes: int = 0
    output_bytes: int = 0  # of a fan-out: of the outputs of its items so far, together
    run_number: int = 1  # the run of the execution that it belongs to

    @property
    def final(self) -> bool:
        """Whether nothing can happen to it any more."""
        return self.status in FINAL_TASK_STATUSES

    @property
    def item(self) -> int | None:
        """The item of a fan-out, or None."""
        return None if self.key.item == NO_ITEM else self.key.item

    @property
    def in_flight(self) -> bool:
        """Whether a worker has it. A fan-out is RUNNING too, but has no worker of its own."""
        return self.status is TaskStatus.RUNNING and self.boot_id is not None

    @property
    def confirmed(self) -> bool:
        """True if the task is in flight and the worker keeps it as long as the lease of its process lasts."""
        return self.in_flight and self.lease_expire_time is None

    @property
    def deadline(self) -> datetime | None:
        """While in flight: the first of the times at which the claim ends from our side."""
        times = (self.lease_expire_time, self.close_time, self.silence_time)
        return min((time for time in times if time is not None), default=None)

    def locate(self, failure: Failure, retry_state: str) -> Failure:
        """The failure with where it happened and why no retry followed, cut to what is kept."""
        return replace(
            failure, task_id=self.key.task_id, item=self.item, attempt=self.attempt, retry_state=retry_state
        ).bounded()


@dataclass(frozen=True, slots=True)
class EndedAttempt:
    """An attempt that gave no output, for the history; one that did stands in its task's row."""

    key: TaskKey
    epoch: int
    attempt: int
    status: AttemptStatus
    worker_id: str | None
    start_time: datetime | None
    end_time: datetime
    failure: Failure | None


@dataclass(frozen=True, slots=True)
class Lease:
    """A claim, as the worker gets it."""

    execution_id: UUID
    namespace: str
    workflow_id: str
    key: TaskKey
    epoch: int
    attempt: int
    task_type: str
    input: str  # JSON
    start_to_close: timedelta
    heartbeat_timeout: timedelta | None
    token: bytes = field(repr=False)

    @property
    def claim(self) -> Claim:
        """The claim that this lease was made for."""
        return Claim(self.execution_id, self.key, self.epoch, self.token)

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt of this task run, and for no other."""
        suffix = "" if self.key.item == NO_ITEM else f"/{self.key.item}"
        return f"{self.execution_id}/{self.key.task_id}{suffix}"
