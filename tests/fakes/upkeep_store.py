"""The part of the store of the upkeep that knows the replicas, in memory."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from execution_orchestrator.application.ports.store import StoreUnavailableError
from execution_orchestrator.application.ports.upkeep_store import EARLIEST, DuePage, Place, Presence, Share

NOW = datetime(2030, 1, 1, tzinfo=UTC)


class FakeUpkeepStore:
    """Counts the beats, and the replicas that left. While it is `down`, Postgres does not answer."""

    def __init__(self) -> None:
        self.beats = 0
        self.left = 0
        self.down = False

    async def beat(self, replica_id: UUID) -> Presence:
        self.beats += 1
        if self.down:
            raise StoreUnavailableError("down")
        return Presence(NOW + timedelta(hours=1), Share(0, self.beats), EARLIEST, NOW, None)

    async def leave(self, replica_id: UUID) -> None:
        self.left += 1
        if self.down:
            raise StoreUnavailableError("down")

    async def due_tasks(
        self, after: Place, limit: int, presence: Presence, *, claims_may_end: bool
    ) -> DuePage:
        raise NotImplementedError

    async def due_executions(self, after: Place, limit: int, presence: Presence) -> DuePage:
        raise NotImplementedError

    async def give_time_back(self, outage_end: datetime, limit: int) -> int:
        raise NotImplementedError

    async def forget_request_ids(self, age: timedelta, limit: int) -> int:
        raise NotImplementedError
