"""The port to the write path in Postgres.

One transaction has everything of one batch. Only the primary's clock decides what is due.
"""

from collections.abc import Sequence
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
"""The key of a task run among those of all executions."""


class StoreUnavailableError(Exception):
    """Postgres does not answer. Nobody knows whether it committed the transaction."""


class RetryTransactionError(Exception):
    """Postgres undid the transaction (a deadlock, a lost race). Nothing was written: run it again."""


class TransactionTooSlowError(RetryTransactionError):
    """A statement took longer than the database allows. Nothing was written: run it in smaller parts."""


class RowLockedError(RetryTransactionError):
    """Another transaction kept a row locked for too long. Nothing was written: run it in smaller parts."""


class BadDataError(Exception):
    """Postgres refused a value of the batch. Nothing was written: run the members one by one."""


class RequestId(NamedTuple):
    """A caller's id of a start, which must not start a second execution."""

    namespace: str
    request_id: str
    request_hash: bytes
    execution_id: UUID


@dataclass
class ExecutionChanges:
    """Everything to write for one execution: its row, and the task runs that changed."""

    execution: Execution
    created: bool = False
    input: str | None = None  # JSON, of a new execution
    tasks: dict[TaskKey, TaskRun] = field(default_factory=dict)
    new_tasks: set[TaskKey] = field(default_factory=set)
    events: list[Event] = field(default_factory=list)
    attempts: list[EndedAttempt] = field(default_factory=list)
    bulk: list[BulkChange] = field(default_factory=list)  # made after everything else is written
    now: datetime | None = None  # the time of the decision


class HeartbeatClaim(NamedTuple):
    """One claim in a heartbeat."""

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
    """One transaction of the primary. A load sees what the transaction wrote before."""

    async def reserve_request_ids(self, requests: Sequence[RequestId]) -> list[RequestId]:
        """Reserve the ids. Return the owner of each, in order: the request itself, or an earlier one."""
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
        """Return the primary's time at this moment, not the time when the transaction began."""
        ...

    async def load_tasks(self, keys: Sequence[RunKey]) -> list[tuple[UUID, TaskRun]]:
        """Return the task runs that exist, without payloads."""
        ...

    async def load_task_inputs(self, keys: Sequence[RunKey]) -> list[tuple[UUID, TaskKey, str]]:
        """Return the inputs of task runs, as JSON."""
        ...

    async def load_execution_inputs(self, ids: Sequence[UUID]) -> list[tuple[UUID, str]]:
        """Return the inputs of executions, as JSON."""
        ...

    async def load_outputs(self, keys: Sequence[tuple[UUID, str]]) -> list[LoadedOutput]:
        """Return the outputs of tasks, and of every item if the task is a fan-out.

        An item beyond MAX_FAN_OUT_OUTPUT_BYTES of its task comes as `too_large`, without its output. A task
        run without an output is left out.
        """
        ...

    async def write(self, changes: Sequence[ExecutionChanges]) -> list[Hint]:
        """Write the changes. Return the hints of the task runs that a bulk change made ready."""
        ...


class Store(Protocol):
    """The write path. Every method may raise StoreUnavailableError and RetryTransactionError."""

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Commit at the end of the block; if the block raises, write nothing. May also raise BadDataError."""
        ...

    async def consistency_token(self) -> str:
        """Return a token that names every commit so far."""
        ...

    async def now(self) -> datetime:
        """Return the primary's time."""
        ...

    async def existing(self, ids: Sequence[UUID], *, with_output: bool = True) -> list[Execution]:
        """Return the executions that exist. A start that repeats an earlier one asks for its execution."""
        ...

    async def outputs(self, ids: Sequence[UUID], max_stored_bytes: int) -> dict[UUID, str | None] | None:
        """Return the outputs of executions (JSON), or None if together they take more than
        `max_stored_bytes`.

        PostgreSQL compresses what it stores, to a hundredth at best.
        """
        ...

    async def has_event(self, execution_id: UUID, event: Event) -> bool:
        """Return whether this very event is stored. If it is, the transaction that wrote it was committed."""
        ...

    async def owner_of(self, namespace: str, request_id: str) -> RequestId | None:
        """Return the start that used this request id, or None."""
        ...

    async def ready_hints(
        self, after: tuple[datetime, RunKey] | None, waited: timedelta, limit: int
    ) -> list[tuple[datetime, Hint]]:
        """Return a page of the tasks that have been READY for `waited`, oldest first, after `after`."""
        ...

    async def still_ready(self, keys: Sequence[RunKey]) -> set[RunKey]:
        """Return the task runs that a worker may claim now. May be repeated."""
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
        """Return the definition that `save_definition` kept, or None."""
        ...

    async def add_task_types(self, namespace: str, task_types: Sequence[str]) -> None:
        """Record task types that a worker offers. May be repeated."""
        ...

    async def task_types(self, namespace: str) -> frozenset[str]:
        """Return every type that a worker has ever offered in the namespace."""
        ...
