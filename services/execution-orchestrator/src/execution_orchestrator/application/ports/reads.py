"""The port to reads of executions. The replica serves them if the caller allows it (ReadConsistency)."""

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
still have a next one. 10,000 rows take about 50 ms, however long the history is.
"""

LIST_SECONDS = 5.0
"""The time limit of the statement of one page."""

MAX_READ_PAYLOAD_BYTES = 1024 * 1024
"""JSON of all rows of one page, or of all tasks of one execution. The rest is left out, or comes with the
next page.

As messages, which have their own limit, the payloads may be up to 5.5 times as large.
"""

MAX_MANY_BYTES = 8 * 1024 * 1024
"""JSON of all executions, or of all events, that one statement reads for several callers."""

MAX_MANY_EVENTS = 10_000
"""Events that one statement reads for several callers."""

MAX_USAGE_COUNT = 10_000
"""The engine counts the executions in flight up to this number, for each version and status."""

MAX_USAGE_WALK = 25_000
"""The number of in-flight executions of a version that one read looks at, from each end. If there are more,
the read counts only these, and at least one count has then reached MAX_USAGE_COUNT.
"""

MAX_USAGE_VERSIONS = 100
"""Versions that one read counts, newest first."""

ALL_VERSIONS = 2**31 - 1
"""A number above every version."""


@dataclass(frozen=True, slots=True)
class ExecutionDetails:
    """An execution. Its input, tasks and summaries are there only if the caller asked for them."""

    execution: Execution
    input: str | None = None  # JSON
    tasks: Sequence[TaskDetails] = ()
    summaries: Sequence[TaskSummary] = ()


@dataclass(frozen=True, slots=True)
class ExecutionFilter:
    """The filters of a list of executions. A field that is empty or None filters nothing."""

    namespace: str
    workflow_id: str = ""
    statuses: tuple[ExecutionStatus, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    create_time_from: datetime | None = None
    create_time_before: datetime | None = None
    quarantined: bool = False  # only quarantined executions


class ExecutionPage(NamedTuple):
    """Executions, newest first. A page may be shorter than the limit, also empty, and still have a next
    page.
    """

    executions: list[Execution]
    next_before: UUID | None
    """The next page has the executions older than this id. None on the last page."""

    @property
    def more(self) -> bool:
        """True if there may be older executions."""
        return self.next_before is not None


class EventPage(NamedTuple):
    """Events, in order. `more` is True if later ones are stored, also if the page is shorter than the
    limit.
    """

    events: list[Event]
    more: bool


class VersionUsage(NamedTuple):
    """The numbers of executions of a version that are in flight, by status, each at most MAX_USAGE_COUNT."""

    version: int
    pending: int
    running: int
    paused: int


class Reads(Protocol):
    """The reads. Every method may be repeated, and raises ServiceError UNAVAILABLE if no database answers."""

    async def get_execution(
        self,
        namespace: str,
        execution_id: UUID,
        *,
        full: bool = False,
        task: TaskChoice | None = None,
        consistency: ReadConsistency = EVENTUAL,
    ) -> ExecutionDetails | None:
        """Return the execution, or None if it does not exist. `full` adds its input and 1,000 task runs.

        `task` adds only the runs of that task, and leaves out the execution's own input and output. So the
        payloads of one task run always fit. Summaries come with `full`, and with `task` if it names no item.
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
        """Return up to `limit` task runs after a key, in key order, or None if the execution does not
        exist.
        """
        ...

    async def list_executions(
        self,
        where: ExecutionFilter,
        *,
        limit: int,
        before: UUID | None = None,
        consistency: ReadConsistency = EVENTUAL,
    ) -> ExecutionPage:
        """Return up to `limit` executions older than `before`, by id."""
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
        """Return up to `limit` events after a sequence number, or None if the execution does not exist."""
        ...

    async def get_many(self, keys: Sequence[tuple[str, UUID]]) -> list[Execution | None]:
        """Return executions by namespace and id, in order, from the primary with one statement.

        If their outputs and failures exceed MAX_MANY_BYTES together, return only the first ones, at least
        one. The caller asks again for the others.
        """
        ...

    async def events_after(self, keys: Sequence[tuple[str, UUID, int]], limit: int) -> list[EventPage]:
        """Return up to `limit` later events for each namespace, execution and sequence number, in order.

        This is one statement on the primary. An execution that does not exist has no events. If there are
        many keys, their events share MAX_MANY_EVENTS and MAX_MANY_BYTES, so each page is smaller.
        """
        ...

    async def look(self, execution_ids: Sequence[UUID]) -> list[Ring]:
        """Return the present state of the executions that exist, from the primary with one statement."""
        ...

    async def usage(
        self,
        namespace: str,
        workflow_id: str,
        *,
        below_version: int = ALL_VERSIONS,
        consistency: ReadConsistency = EVENTUAL,
    ) -> list[VersionUsage]:
        """Return the versions below one that have executions in flight, newest first, at most
        MAX_USAGE_VERSIONS.
        """
        ...

    async def definition(
        self, namespace: str, workflow_id: str, version: int, *, consistency: ReadConsistency = EVENTUAL
    ) -> bytes | None:
        """Return the definition that executions of the version run on, or None if there never was one."""
        ...
