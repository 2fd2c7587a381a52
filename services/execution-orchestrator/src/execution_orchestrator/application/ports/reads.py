"""Ports to what is read of executions; on the replica where the caller allows it (ReadConsistency)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from service_kit.data.consistency import EVENTUAL, ReadConsistency
from workflow_contract.doorbell import Ring

from execution_orchestrator.application.ports.task_runs import (
    TaskChoice,
    TaskDetails,
    TaskRunFilter,
    TaskRunPage,
    TaskSummary,
)
from execution_orchestrator.domain.events import Event
from execution_orchestrator.domain.execution import Execution
from execution_orchestrator.domain.state_machine import ExecutionStatus
from execution_orchestrator.domain.task import TaskKey

MAX_LIST_WALK = 10_000
"""Executions that one page of a list looks at if it filters by status or labels. Such a page may be empty and
still have a next one: 10,000 rows take about 50 ms, whatever the length of the history.
"""

LIST_SECONDS = 5.0
"""How long the statement of one page may take."""

MAX_READ_PAYLOAD_BYTES = 1024 * 1024
"""JSON of all rows of one page, or of all tasks of one execution, before the rest is left out or put off.

The payloads that are read may be up to 5.5 times as large as messages, which have a limit of their own.
"""

MAX_MANY_BYTES = 8 * 1024 * 1024
"""JSON of all executions, or of all events, that one statement reads for several callers."""

MAX_MANY_EVENTS = 10_000
"""Events that one statement reads for several callers."""

MAX_USAGE_COUNT = 10_000
"""Executions in flight are counted up to this number for each version and status."""

MAX_USAGE_WALK = 25_000
"""Executions in flight that are looked at from either end of those of one version. Where it has more than
both ends together the counts are of these: at least one of them has reached its maximum then.
"""

MAX_USAGE_VERSIONS = 100
"""Versions that one read counts, the newest first."""

ALL_VERSIONS = 2**31 - 1
"""Above every version."""


@dataclass(frozen=True, slots=True)
class ExecutionDetails:
    """An execution; its input, its tasks and their summaries only if they were asked for."""

    execution: Execution
    input: str | None = None  # JSON
    tasks: Sequence[TaskDetails] = ()
    summaries: Sequence[TaskSummary] = ()


@dataclass(frozen=True, slots=True)
class ExecutionFilter:
    """Which executions to list; what is empty or None filters nothing."""

    namespace: str
    workflow_id: str = ""
    statuses: tuple[ExecutionStatus, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    create_time_from: datetime | None = None
    create_time_before: datetime | None = None
    quarantined: bool = False  # only those that are quarantined


class ExecutionPage(NamedTuple):
    """The newest first. May be shorter than asked for, also empty, and still have a next page."""

    executions: list[Execution]
    next_before: UUID | None
    """Where the next page begins: executions older than this id. None on the last page."""

    @property
    def more(self) -> bool:
        """Whether there may be older ones."""
        return self.next_before is not None


class EventPage(NamedTuple):
    """In order; `more` where later ones are stored already. May be shorter than asked for and have more."""

    events: list[Event]
    more: bool


class VersionUsage(NamedTuple):
    """How many executions of a version are in flight, by status; each counted up to MAX_USAGE_COUNT."""

    version: int
    pending: int
    running: int
    paused: int


class Reads(Protocol):
    """The read side. May be repeated. Raises ServiceError UNAVAILABLE where no database answers."""

    async def get_execution(
        self,
        namespace: str,
        execution_id: UUID,
        *,
        full: bool = False,
        task: TaskChoice | None = None,
        consistency: ReadConsistency = EVENTUAL,
    ) -> ExecutionDetails | None:
        """Return the execution, or None if it does not exist; `full` adds its input and 1,000 task runs.

        With `task` also `full`, but only with the runs of that task, and without the execution's own input
        and output: so the payloads of one task run always fit. Summaries come with `full`, and with `task` if
        it names no item.
        """
        ...

    async def list_task_runs(
        self,
        where: TaskRunFilter,
        *,
        limit: int,
        after: TaskKey | None = None,
        consistency: ReadConsistency = EVENTUAL,
    ) -> TaskRunPage | None:
        """Up to `limit` task runs after a key, in the order of their keys. None: no such execution."""
        ...

    async def list_executions(
        self,
        where: ExecutionFilter,
        *,
        limit: int,
        before: UUID | None = None,
        consistency: ReadConsistency = EVENTUAL,
    ) -> ExecutionPage:
        """Up to `limit` executions older than `before`, by id."""
        ...

    async def list_events(
        self,
        namespace: str,
        execution_id: UUID,
        *,
        after_sequence: int,
        limit: int,
        consistency: ReadConsistency = EVENTUAL,
    ) -> EventPage | None:
        """Up to `limit` events after a sequence number. None: no such execution."""
        ...

    async def get_many(self, keys: Sequence[tuple[str, UUID]]) -> list[Execution | None]:
        """Executions by namespace and id, in order, asked of the primary with one statement.

        Answers for the first of the keys only if their outputs and failures exceed MAX_MANY_BYTES together,
        but for one at least: ask again for the others.
        """
        ...

    async def events_after(self, keys: Sequence[tuple[str, UUID, int]], limit: int) -> list[EventPage]:
        """For each namespace, execution and sequence number up to `limit` later events, in order.

        Asked of the primary with one statement. An execution that does not exist has no events. A page of
        many is smaller: their events share MAX_MANY_EVENTS and MAX_MANY_BYTES, so `more` may follow.
        """
        ...

    async def look(self, execution_ids: Sequence[UUID]) -> list[Ring]:
        """How those that exist stand now, asked of the primary with one statement."""
        ...

    async def usage(
        self,
        namespace: str,
        workflow_id: str,
        *,
        below_version: int = ALL_VERSIONS,
        consistency: ReadConsistency = EVENTUAL,
    ) -> list[VersionUsage]:
        """The versions below one with executions that are not final: the newest first, at most
        MAX_USAGE_VERSIONS.
        """
        ...

    async def definition(
        self, namespace: str, workflow_id: str, version: int, *, consistency: ReadConsistency = EVENTUAL
    ) -> bytes | None:
        """The definition that executions of the version run on. None: none ever did."""
        ...
