"""One run of a task, its claim, and the lease that a worker gets."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from execution_orchestrator.domain.failure import Failure
from execution_orchestrator.domain.rows import Row
from execution_orchestrator.domain.state_machine import FINAL_TASK_STATUSES, AttemptStatus, TaskStatus

NO_ITEM = -1
"""The item of a task run that is not an item of a fan-out."""


class TaskKey(NamedTuple):
    """The key of a task run within its execution."""

    task_id: str
    item: int = NO_ITEM


class Claim(NamedTuple):
    """One claim of one task run, as worker and engine name it to each other: the fence and its secret.

    A report or a heartbeat counts only while the task run has this epoch and this token.
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

    The `epoch` is the fence. It grows with every claim and every revoke, and never shrinks. So a report with
    an older epoch belongs to a claim that is over.

    A claim begins unconfirmed: it has its own lease, `lease_expire_time`. The first heartbeat of its worker
    confirms the claim. From then on the lease of the worker process covers it, and `lease_expire_time` is
    None.
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
    ready_time: datetime | None = None  # set while, and only while, it may be in the queue
    lease_expire_time: datetime | None = None
    close_time: datetime | None = None
    heartbeat_timeout: timedelta | None = None
    silence_time: datetime | None = None
    wake_time: datetime | None = None  # when a timer must act on it
    frozen: timedelta | None = None  # while the execution is frozen: the time that was left until wake_time
    start_time: datetime | None = None
    end_time: datetime | None = None
    items_open: int = 0
    next_item: int = 0
    # The following are never loaded. A decision sets what it changes; None keeps the stored value.
    input: str | None = None  # JSON
    output: str | None = None  # JSON
    failure: Failure | None = None  # the last failure
    last_ready_time: datetime | None = None  # like ready_time, but it stays when a worker claims the task
    claim_token: bytes | None = field(default=None, repr=False)  # the secret of the last claim
    input_bytes: int = 0
    output_bytes: int = 0  # of a fan-out: the sum of its items so far
    run_number: int = 1  # of the execution

    @property
    def final(self) -> bool:
        """True if its status cannot change any more."""
        return self.status in FINAL_TASK_STATUSES

    @property
    def item(self) -> int | None:
        """The item of a fan-out, or None."""
        return None if self.key.item == NO_ITEM else self.key.item

    @property
    def in_flight(self) -> bool:
        """True if a worker has it. The parent of a fan-out is RUNNING too, but no worker has it."""
        return self.status is TaskStatus.RUNNING and self.boot_id is not None

    @property
    def confirmed(self) -> bool:
        """True if it is in flight and the lease of the worker process covers it."""
        return self.in_flight and self.lease_expire_time is None

    @property
    def deadline(self) -> datetime | None:
        """The first of the times at which the engine ends the claim; None if it is not in flight."""
        times = (self.lease_expire_time, self.close_time, self.silence_time)
        return min((time for time in times if time is not None), default=None)

    def locate(self, failure: Failure, retry_state: str) -> Failure:
        """Return the failure with its place and the reason for no retry, cut to the size that is kept."""
        return replace(
            failure, task_id=self.key.task_id, item=self.item, attempt=self.attempt, retry_state=retry_state
        ).bounded()


@dataclass(frozen=True, slots=True)
class EndedAttempt:
    """An attempt without an output, for the history. The row of the task run holds an attempt with one."""

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
    """The lease of a claim: everything that a worker needs to run the task."""

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
        """A key that is the same for every attempt of this task run, and differs from that of any other."""
        suffix = "" if self.key.item == NO_ITEM else f"/{self.key.item}"
        return f"{self.execution_id}/{self.key.task_id}{suffix}"
