"""A replica says that it is there, and what it learns is never older than it may be."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from execution_orchestrator.application.engine.database_clock import DatabaseClock
from execution_orchestrator.application.ports.store import StoreUnavailableError
from execution_orchestrator.application.ports.upkeep_store import (
    EARLIEST,
    OUTAGE_AFTER,
    DuePage,
    Place,
    Presence,
    Share,
)
from execution_orchestrator.application.upkeep import replicas as replicas_module
from execution_orchestrator.application.upkeep.replicas import FRESH_SECONDS, Replicas
from testkit import FakeClock, eventually

NOW = datetime(2030, 1, 1, tzinfo=UTC)


class FakeUpkeep:
    """Counts the beats."""

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


@pytest.fixture
def store() -> FakeUpkeep:
    return FakeUpkeep()


async def test_a_beat_tells_the_clock_the_time_of_the_primary(store: FakeUpkeep) -> None:
    """The clock of this machine is an hour behind."""
    clock = DatabaseClock(FakeClock(NOW))
    await Replicas(store, clock).beat()
    assert clock.now() == NOW + timedelta(hours=1)


async def test_a_presence_is_kept_for_less_than_an_outage_can_take(
    store: FakeUpkeep, monkeypatch: pytest.MonkeyPatch
) -> None:
    replicas = Replicas(store, DatabaseClock(FakeClock(NOW)))
    assert (await replicas.presence()).share.count == 1
    assert (await replicas.presence()).share.count == 1
    assert timedelta(seconds=FRESH_SECONDS) < OUTAGE_AFTER
    monkeypatch.setattr(replicas_module, "FRESH_SECONDS", -1.0)  # as if that time had passed
    assert (await replicas.presence()).share.count == 2


async def test_beats_go_on_when_postgres_is_back(store: FakeUpkeep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicas_module, "BEAT_SECONDS", 0.001)
    store.down = True
    beating = asyncio.create_task(Replicas(store, DatabaseClock(FakeClock(NOW))).run())
    await eventually(lambda: store.beats >= 3)
    store.down = False
    failed = store.beats
    await eventually(lambda: store.beats >= failed + 3)
    beating.cancel()
    await asyncio.wait([beating])


async def test_a_replica_stops_also_if_it_cannot_say_so(store: FakeUpkeep) -> None:
    store.down = True
    await Replicas(store, DatabaseClock(FakeClock(NOW))).leave()
    assert store.left == 1
