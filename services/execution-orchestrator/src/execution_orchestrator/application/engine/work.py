"""Work for the pipeline, and its results."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol
from uuid import UUID

from service_kit.tools.batching import Entry

from execution_orchestrator.application.ports.store import RequestId
from execution_orchestrator.domain.commands import Command, StartExecution
from execution_orchestrator.domain.decision import Effect
from execution_orchestrator.domain.execution import Execution
from execution_orchestrator.domain.plan import Plan
from execution_orchestrator.domain.task import Lease

Evaluated = Mapping[tuple[str, str], Any]
"""The results of evaluations by their keys; see HeavyEvaluationError."""


class Claimant(Protocol):
    """A worker's session with room. A task that becomes ready can be claimed for it at once."""

    worker_id: str
    boot_id: str

    def give_back(self) -> None:
        """Return the credit of a claim that was not made."""
        ...

    def deliver(self, lease: Lease) -> None:
        """Send the lease of a claim. Called after its commit."""
        ...


class Offers(Protocol):
    """The room that workers offer: the pipeline looks here for a task that has just become ready."""

    def reserve(
        self, namespace: str, task_type: str, queue: str, reporter: Claimant | None
    ) -> Claimant | None:
        """Reserve a credit for a task of this kind and return its session: the reporter's if it accepts the
        kind, else the idlest one.

        Return None if nobody has room, or if nobody reported and other tasks wait in that queue.
        """
        ...


@dataclass(frozen=True, slots=True)
class StartWork:
    """A start, checked and ready to be written."""

    command: StartExecution
    plan: Plan
    request: RequestId | None = None
    is_one_of_many: bool = False  # then a repeat is answered without the output, which the caller adds
    evaluated: Evaluated | None = None  # the results that HeavyEvaluationError asked for in an earlier try
    visible: ClassVar[bool] = True  # a caller that starts an execution reads it next
    claimant: ClassVar[None] = None  # no worker reports it

    @property
    def execution_id(self) -> UUID:
        """The execution that it starts."""
        return self.command.execution_id


@dataclass(frozen=True, slots=True)
class CommandWork:
    """A command to an execution that exists. If `namespace` is None, it is not compared."""

    execution_id: UUID
    command: Command
    namespace: str | None = None
    claimant: Claimant | None = None  # the reporter, which gets the next task along with the acknowledgement
    visible: bool = False  # the caller wants a token, and an answer after what follows is published
    evaluated: Evaluated | None = None  # the results that HeavyEvaluationError asked for in an earlier try


Work = StartWork | CommandWork
WorkEntry = Entry[Work, "WorkResult"]
"""A piece of work in a lane; it gets its result after the commit."""


class ExecutionNotFoundError(Exception):
    """The namespace has no such execution."""


class ExecutionLockedError(Exception):
    """Another transaction holds the execution, so nothing was changed. The command may be sent again."""


class RunNotStartedError(Exception):
    """The execution has not reached a run that a caller waits for. It may reach it later."""

    def __init__(self, execution_id: UUID, run_number: int, wanted: int) -> None:
        super().__init__(f"execution {execution_id} is in run {run_number} and has not reached run {wanted}")
        self.execution_id = execution_id
        self.run_number = run_number


class UndecidableError(Exception):
    """The engine cannot decide the command, and has changed nothing. The text says why.

    A repeat fails in the same way until the cause is repaired, for example a definition that cannot be read.
    """


class RequestIdReusedError(Exception):
    """The request id has started another execution before, with another body."""


@dataclass(slots=True)
class WorkResult:
    """The result of work that is committed."""

    execution: Execution
    effect: Effect = Effect.UNCHANGED
    lease: Lease | None = None
    next_leases: tuple[Lease, ...] = ()  # for the worker whose report this is
    repeated: bool = False  # an earlier start had the same request id
    output_left_out: bool = (
        False  # there may be an output, and the outputs of all are too much for one answer
    )
    token: str = ""
    published: asyncio.Future[None] | None = field(default=None, compare=False)
