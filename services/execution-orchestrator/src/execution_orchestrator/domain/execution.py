"""One execution, as the rules see it: the row without its payloads."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from execution_orchestrator.domain.failure import Failure
from execution_orchestrator.domain.rows import Row
from execution_orchestrator.domain.state_machine import ExecutionStatus


@dataclass(frozen=True, slots=True)
class Pause:
    """Why and how an execution is paused. DRAIN: attempts in flight finish. FREEZE: its timers stop."""

    pause_time: datetime
    mode: str = "DRAIN"
    clock_policy: str = "FREEZE"
    reason: str = ""
    actor: str = ""
    quiesced_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Why an execution stands still until an operator releases or cancels it.

    The engine could not decide its commands, for example because nobody can read its definition.
    """

    quarantine_time: datetime
    reason: str  # at most MAX_QUARANTINE_REASON_BYTES; never a payload
    tries: int  # how often the engine tried to decide, without success


@dataclass
class Execution(Row):
    """One execution of a version of a workflow. The counters count task runs, also items of fan-outs."""

    id: UUID
    namespace: str
    workflow_id: str
    version: int
    labels: Mapping[str, str]
    create_time: datetime
    status: ExecutionStatus = ExecutionStatus.PENDING
    paused_from: ExecutionStatus | None = None
    state_version: int = 0
    last_sequence: int = 0
    run_number: int = 1
    final: bool = False
    output: str | None = None  # JSON
    failure: Failure | None = None
    pause: Pause | None = None
    cancel_requested: bool = False
    cancel_deadline: datetime | None = None
    cancel_reason: str | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    timeout_time: datetime | None = None
    timeout_remaining: timedelta | None = None  # while frozen
    tasks_total: int = 0
    tasks_open: int = 0
    tasks_running: int = 0
    tasks_succeeded: int = 0
    tasks_failed: int = 0
    tasks_cancelled: int = 0
    tasks_skipped: int = 0
    output_bytes: int = 0
    quarantine: Quarantine | None = None

    @property
    def frozen(self) -> bool:
        """True if no task starts and the clocks stand still: the execution is paused or quarantined."""
        return self.status is ExecutionStatus.PAUSED or self.quarantine is not None

    @property
    def wake_time(self) -> datetime | None:
        """The time at which a timer must act: the cancel deadline if there is one, else the execution
        timeout.
        """
        return None if self.final else self.cancel_deadline or self.timeout_time

    @property
    def counts(self) -> tuple[int, int, int, int, int, int]:
        """The counters that an event has: total, running, succeeded, failed, cancelled, skipped."""
        return (
            self.tasks_total,
            self.tasks_running,
            self.tasks_succeeded,
            self.tasks_failed,
            self.tasks_cancelled,
            self.tasks_skipped,
        )

    @property
    def names(self) -> dict[str, Any]:
        """The fields that expressions read as `execution`."""
        return {
            "id": str(self.id),
            "namespace": self.namespace,
            "workflow_id": self.workflow_id,
            "version": self.version,
            "run_number": self.run_number,
        }
