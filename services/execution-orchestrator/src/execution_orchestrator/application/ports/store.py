"""Ports to the facts: what the pipeline asks of Postgres.

Everything of one batch happens in one transaction. The primary's clock is the only one that decides what is
due.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol
from uuid import UUID

from execution_orchestrator.application.ports.hints import Hint
from execution_orchestrator.domain.decision import BulkChange
from execution_orchestrator.domain.events import Event
from execution_orchestrator.domain.execution import Execution
from execution_orchestrator.domain.task import Claim, EndedAttempt, TaskKey, TaskRun

RunKey = tuple[UUID, TaskKey]
"""A task run among those of all executions."""


class StoreUnavailableError(Exception):
    """Postgres does not answer; whether the transaction was committed is not known."""


class RetryTransactionError(Exception):
    """Postgres undid the transaction (a deadlock, a lost race): nothing of it was written, run it again."""


class TransactionTooSlowError(RetryTransactionError):
    """A statement took longer than the database allows. Nothing was written: run it in smaller parts."""


class RowLockedError(RetryTransactionError):
    """Another transaction kept a row locked for too long. Nothing was written: run it in smaller parts."""


class BadDataError(Exception):
    """Postgres refused a value of the batch: nothing of it was written, run its members one by one."""


class RequestId(NamedTuple):
    """A caller's id of a start, which must not start a second execution."""

    namespace: str
    request_id: str
    request_hash: bytes
    execution_id: UUID


@dataclass
class ExecutionChanges:
    """What is to be written of one execution: its row, and so many of its task runs as changed."""

    execution: Execution
    created: bool = False
    input: str | None = None  # JSON, of a new one
    tasks: dict[TaskKey, TaskRun] = field(default_factory=dict)
    new_tasks: set[TaskKey] = field(default_factory=set)
    events: list[Event] = field(default_factory=list)
    attempts: list[EndedAttempt] = field(default_factory=list)
    bulk: list[BulkChange] = field(default_factory=list)  # after everything else
    now: datetime | None = None  # when it was decided


class HeartbeatClaim(NamedTuple):
    """What one heartbeat says of one claim."""

    claim: Claim
    handler_alive: bool
    progress: str | None  # JSON


class HeldClaim(NamedTuple):
    """A claim that still holds."""

    claim: Claim
    cancel_deadline: datetime | None  # when the grace of its execution's cancel ends; None without a cancel


class LoadedOutput(NamedTuple):
    """The output of a task run."""

    execution_id: UUID
    task_id: str
    item: int
    output: str | None  # JSON
    too_large: bool


class Transaction(Protocol):
    """One transaction of the primary. Loads see what it wrote before."""

    async def reserve_request_ids(self, requests: Sequence[RequestId]) -> list[RequestId]:
        """Who owns each of the ids now: the request itself, or one that came before; in order."""
        ...

    async def forget_request_ids(self, requests: Sequence[RequestId]) -> None:
        """Undo the reservation of ids that this transaction reserved."""
        ...

    async def lock_executions(self, ids: Sequence[UUID]) -> list[Execution]:
        """Lock and return the executions that exist and that no other transaction has locked.

        Never wait for a lock.
        """
        ...

    async def existing_ids(self, ids: Sequence[UUID]) -> set[UUID]:
        """Return the ids of the executions that exist, whether they are locked or not."""
        ...

    async def now(self) -> datetime:
        """The primary's time at this moment, not that of the transaction's begin."""
        ...

    async def load_tasks(self, keys: Sequence[RunKey]) -> list[tuple[UUID, TaskRun]]:
        """The task runs, without payloads. Those that do not exist are left out."""
        ...

    async def load_task_inputs(self, keys: Sequence[RunKey]) -> list[tuple[UUID, TaskKey, str]]:
        """The inputs of task runs, as JSON."""
        ...

    async def load_execution_inputs(self, ids: Sequence[UUID]) -> list[tuple[UUID, str]]:
        """The inputs of executions, as JSON."""
        ...

    async def load_outputs(self, keys: Sequence[tuple[UUID, str]]) -> list[LoadedOutput]:
        """The outputs of tasks by id, those of a fan-out for each item.

        At most MAX_FAN_OUT_OUTPUT_BYTES of each task: an item beyond that comes as `too_large`, without its
        output. A run without an output is left out.
        """
        ...

    async def write(self, changes: Sequence[ExecutionChanges]) -> list[Hint]:
        """Write all of it; returns what a bulk change made ready."""
        ...


class Store(Protocol):
    """The write side. Every method may raise StoreUnavailableError and RetryTransactionError."""

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Commits at the end of the block; an exception in it writes nothing. Raises BadDataError too."""
        ...

    async def consistency_token(self) -> str:
        """A token for every commit so far."""
        ...

    async def now(self) -> datetime:
        """The primary's time."""
        ...

    async def existing(self, ids: Sequence[UUID], *, with_output: bool = True) -> list[Execution]:
        """Return the executions that exist; for a start that repeats an earlier one."""
        ...

    async def outputs(self, ids: Sequence[UUID], max_stored_bytes: int) -> dict[UUID, str | None] | None:
        """Return the outputs of executions (JSON), or None if all of them have more bytes as they are stored.

        PostgreSQL compresses what it stores, to a hundredth at best.
        """
        ...

    async def has_event(self, execution_id: UUID, event: Event) -> bool:
        """Whether this very event is stored: it proves that the transaction that wrote it was committed."""
        ...

    async def owner_of(self, namespace: str, request_id: str) -> RequestId | None:
        """The start that a request id stands for, if there was one."""
        ...

    async def due_tasks(self, limit: int, claims_may_end: bool) -> list[RunKey]:
        """Return task runs whose time has come; without `claims_may_end` none that a worker has."""
        ...

    async def due_executions(self, limit: int) -> list[UUID]:
        """Executions whose deadline has come."""
        ...

    async def ready_hints(
        self, after: tuple[datetime, RunKey] | None, waited: timedelta, limit: int
    ) -> list[tuple[datetime, Hint]]:
        """Return a page of the tasks that have been READY for `waited`, oldest first, behind `after`."""
        ...

    async def still_ready(self, keys: Sequence[RunKey]) -> set[RunKey]:
        """Return those of the task runs that a worker may claim now. May be repeated."""
        ...

    async def held_claims(self, claims: Sequence[Claim]) -> list[HeldClaim]:
        """Return the claims that still hold; the handlers of the others must stop. May be repeated."""
        ...

    async def save_definition(
        self, namespace: str, workflow_id: str, version: int, definition: bytes
    ) -> None:
        """Keep the version that an execution will run on. May be repeated."""
        ...

    async def load_definition(self, namespace: str, workflow_id: str, version: int) -> bytes | None:
        """What `save_definition` kept."""
        ...

    async def add_task_types(self, namespace: str, task_types: Sequence[str]) -> None:
        """Note types that a worker offers. May be repeated."""
        ...

    async def task_types(self, namespace: str) -> frozenset[str]:
        """Every type that a worker ever offered in the namespace."""
        ...


Labels = Mapping[str, str]
