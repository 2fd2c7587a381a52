"""The orchestrator's reads, in memory: one execution and its events."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from execution_orchestrator.application.ports.reads import (
    MAX_USAGE_VERSIONS,
    EventPage,
    ExecutionDetails,
    VersionUsage,
)
from execution_orchestrator.domain.events import Event, EventType
from execution_orchestrator.domain.execution import Execution
from execution_orchestrator.domain.state_machine import ExecutionStatus
from service_kit.errors import unavailable
from workflow_contract.doorbell import Ring

ID = UUID(int=1)
NOW = datetime(2030, 1, 1, tzinfo=UTC)


class FakeReads:
    """One execution, its events, and how often each was read. The newest `versions` versions are in use.

    While it is `down`, a look finds no database.
    """

    def __init__(self, *, versions: int = 0) -> None:
        self.execution = Execution(ID, "default", "orders", 1, {}, NOW, ExecutionStatus.RUNNING)
        self.events: list[Event] = []
        self.versions = versions
        self.read_executions = 0
        self.read_events = 0
        self.looks = 0
        self.looked_at: list[list[UUID]] = []
        self.down = False

    def happen(self, *types: EventType) -> Ring:
        """Commit events; return what the doorbell would say."""
        for type_ in types:
            if type_ is EventType.EXECUTION_COMPLETED:
                self.execution = self.execution.copy()
                self.execution.status, self.execution.final = ExecutionStatus.COMPLETED, True
            status = self.execution.status
            self.events.append(Event(len(self.events) + 1, type_, status, NOW, (1, 0, 0, 0, 0, 0)))
        self.execution.last_sequence = len(self.events)
        return self.ring

    @property
    def ring(self) -> Ring:
        return Ring("default", ID, self.execution.last_sequence, self.execution.status)

    async def get_execution(self, namespace: str, execution_id: UUID, **_: Any) -> ExecutionDetails | None:
        (found,) = await self.get_many([(namespace, execution_id)])
        return found and ExecutionDetails(found)

    async def get_many(self, keys: Sequence[tuple[str, UUID]]) -> list[Execution | None]:
        self.read_executions += 1
        return [self.execution.copy() if key == ("default", ID) else None for key in keys]

    async def events_after(self, keys: Sequence[tuple[str, UUID, int]], limit: int) -> list[EventPage]:
        self.read_events += 1
        later = [self.events[after:] for _, _, after in keys]
        return [EventPage(events[:limit], len(events) > limit) for events in later]

    async def look(self, execution_ids: Sequence[UUID]) -> list[Ring]:
        self.looks += 1
        self.looked_at.append(list(execution_ids))
        if self.down:
            raise unavailable("DEPENDENCY_UNAVAILABLE", "the database does not answer")
        return [self.ring] if ID in execution_ids else []

    async def usage(self, *_: object, below_version: int, **__: object) -> list[VersionUsage]:
        newest = min(below_version - 1, self.versions)
        numbers = range(newest, max(0, newest - MAX_USAGE_VERSIONS), -1)
        return [VersionUsage(number, 10_000, 10_000, 10_000) for number in numbers]
