"""What can be asked of an execution. A command is a value; `decide` says what follows from it."""

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
    """Accept a new execution. Its id was chosen before, so that a repeat can be recognised."""

    execution_id: UUID
    namespace: str
    workflow_id: str
    version: int
    input: str  # JSON
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ClaimTask:
    """A worker has room for the task. Stale hints make this common, and harmless: it claims nothing then.

    `token` is the secret of the claim: random bytes that nobody can guess. The command may be repeated with
    the same token: a claim that it made before is given again.
    """

    key: TaskKey
    worker_id: str
    boot_id: str
    lease_ttl: timedelta
    token: bytes = field(repr=False)


@dataclass(frozen=True)
class Succeeded:
    """The handler's output, as JSON."""

    output: str

    @cached_property
    def checked(self) -> CheckedPayload:
        """The output after its check. It is parsed once, however often the command is decided."""
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
    """The handler stopped because it was told to."""


@dataclass(frozen=True, slots=True)
class HandedBack:
    """The worker gives the task back unfinished; charged to nobody."""


TaskOutcome = Succeeded | Failed | Cancelled | HandedBack


@dataclass(frozen=True, slots=True)
class ReportTask:
    """What became of a claim. A report with an older epoch or another token changes nothing."""

    key: TaskKey
    epoch: int
    outcome: TaskOutcome
    token: bytes = field(default=b"", repr=False)  # the default is that of a claim without a token


@dataclass(frozen=True, slots=True)
class LoseClaim:
    """The worker process that holds a confirmed claim is lost, or does not know of the claim any more."""

    key: TaskKey
    epoch: int
    boot_id: str
    lease_expire_time: datetime  # when the worker lost its right to the task


@dataclass(frozen=True, slots=True)
class WakeTask:
    """A time of the task has come: the lease of an unconfirmed claim, a timeout, the end of its back-off."""

    key: TaskKey


@dataclass(frozen=True, slots=True)
class WakeExecution:
    """A time of the execution has come: its timeout, or the cancel deadline."""


@dataclass(frozen=True, slots=True)
class PauseExecution:
    """From the commit on nothing starts. Pausing a Paused execution is a no-op."""

    reason: str = ""
    actor: str = ""


@dataclass(frozen=True, slots=True)
class ResumeExecution:
    """Back to the status before the pause. Resuming what is not paused is a no-op."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class CancelExecution:
    """Cancel; attempts in flight have until the grace is over."""

    grace: timedelta = DEFAULT_CANCEL_GRACE
    reason: str = ""


@dataclass(frozen=True, slots=True)
class QuarantineExecution:
    """Let the execution stand still: its commands could not be decided `tries` times.

    Changes nothing if the execution is final, quarantined or being cancelled.
    """

    reason: str
    tries: int


@dataclass(frozen=True, slots=True)
class ReleaseExecution:
    """End the quarantine. Releasing an execution that is not quarantined is a no-op."""

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
"""The commands to an execution that exists."""
