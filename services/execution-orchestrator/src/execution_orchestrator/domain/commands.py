"""Commands: what somebody asks of an execution. A command is a value; `decide` returns its consequences."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

from execution_orchestrator.domain.failure import Failure
from execution_orchestrator.domain.limits import DEFAULT_CANCEL_GRACE
from execution_orchestrator.domain.payloads import CheckedPayload, checked
from execution_orchestrator.domain.plan import OutputCheck
from execution_orchestrator.domain.task import TaskKey


@dataclass(frozen=True, slots=True)
class StartExecution:
    """Accept a new execution. The caller chose its id before, so the engine recognises a repeat."""

    execution_id: UUID
    namespace: str
    workflow_id: str
    version: int
    input: str  # JSON
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ClaimTask:
    """Claim a task for a worker that has room. Hints may be stale: then the command claims nothing.

    `token` is the secret of the claim: random bytes that nobody can guess. The command may be repeated with
    the same token: then it returns the claim that it made before.
    """

    key: TaskKey
    worker_id: str
    boot_id: str
    lease_ttl: timedelta
    token: bytes = field(repr=False)


@dataclass(frozen=True)
class Succeeded:
    """The handler returned an output (JSON)."""

    output: str

    @cached_property
    def checked(self) -> CheckedPayload:
        """The output after its check. The text is parsed once, even if the command is decided several
        times.
        """
        return checked(self.output, "output")

    @cached_property
    def _schema_problems(self) -> dict[OutputCheck, Failure | None]:
        """The results of the schema checks so far."""
        return {}

    def problem(self, schema: OutputCheck | None, evaluated: Mapping[tuple[str, str], Any]) -> Failure | None:
        """Return why the output cannot be recorded: it is no payload, or breaks the schema. None if it can.

        The check of the schema runs once, however often the command is decided. Raise HeavyEvaluationError.
        """
        if self.checked.problem is not None or schema is None:
            return self.checked.problem
        if schema not in self._schema_problems:
            self._schema_problems[schema] = schema(self.checked, evaluated)
        return self._schema_problems[schema]


@dataclass(frozen=True, slots=True)
class Failed:
    """The handler failed."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The handler stopped because it received a cancel message."""


@dataclass(frozen=True, slots=True)
class HandedBack:
    """The worker returns the task unfinished. No budget is charged."""


TaskOutcome = Succeeded | Failed | Cancelled | HandedBack


@dataclass(frozen=True, slots=True)
class ReportTask:
    """Report the outcome of a claim. A report with an older epoch or another token changes nothing."""

    key: TaskKey
    epoch: int
    outcome: TaskOutcome
    token: bytes = field(default=b"", repr=False)  # empty: a claim of a release that had no tokens


@dataclass(frozen=True, slots=True)
class LoseClaim:
    """End a confirmed claim: its worker process is lost, or does not know the claim any more."""

    key: TaskKey
    epoch: int
    boot_id: str
    lease_expire_time: datetime  # when the worker lost its right to the task


@dataclass(frozen=True, slots=True)
class WakeTask:
    """Act on a time of the task: the end of an unconfirmed claim's lease, a timeout, the end of a
    back-off.
    """

    key: TaskKey


@dataclass(frozen=True, slots=True)
class WakeExecution:
    """Act on a time of the execution: its timeout, or its cancel deadline."""


@dataclass(frozen=True, slots=True)
class PauseExecution:
    """Start no task from this commit on. Pausing a Paused execution changes nothing."""

    reason: str = ""
    actor: str = ""


@dataclass(frozen=True, slots=True)
class ResumeExecution:
    """Return to the status before the pause. Resuming an execution that is not paused changes nothing."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class CancelExecution:
    """Cancel the execution. Attempts in flight get the grace period."""

    grace: timedelta = DEFAULT_CANCEL_GRACE
    reason: str = ""


@dataclass(frozen=True, slots=True)
class QuarantineExecution:
    """Make the execution stand still: the engine could not decide a command of it, in `tries` tries.

    The command changes nothing if the execution is final, quarantined or being cancelled.
    """

    reason: str
    tries: int


@dataclass(frozen=True, slots=True)
class ReleaseExecution:
    """End the quarantine. Releasing an execution that is not quarantined changes nothing."""

    reason: str = ""


Command = (
    ClaimTask
    | ReportTask
    | LoseClaim
    | WakeTask
    | WakeExecution
    | PauseExecution
    | ResumeExecution
    | CancelExecution
    | QuarantineExecution
    | ReleaseExecution
)
"""Every command to an execution that exists."""
