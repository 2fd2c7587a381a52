"""A replica says that it is there, and what it learns is never older than it may be."""

import asyncio
from datetime import timedelta

import pytest
from execution_orchestrator.application.engine.database_clock import DatabaseClock
from execution_orchestrator.application.ports.upkeep_store import (
    OUTAGE_AFTER,
)
from execution_orchestrator.application.upkeep.replicas import FRESH_SECONDS, Replicas
from testkit import FakeClock, eventually

from tests.fakes.upkeep_store import NOW, FakeUpkeepStore


@pytest.fixture
def store() -> FakeUpkeepStore:
    return FakeUpkeepStore()


async def test_a_beat_tells_the_clock_the_time_of_the_primary(store: FakeUpkeepStore) -> None:
    """The clock of this machine is an hour behind."""
    clock = DatabaseClock(FakeClock(NOW))
    await Replicas(store, clock).beat()

    assert clock.now() == NOW + timedelta(hours=1)


async def test_a_presence_is_kept_for_less_than_an_outage_can_take(store: FakeUpkeepStore) -> None:
    replicas = Replicas(store, DatabaseClock(FakeClock(NOW)))

    assert (await replicas.presence()).share.count == 1
    assert (await replicas.presence()).share.count == 1
    assert timedelta(seconds=FRESH_SECONDS) < OUTAGE_AFTER


async def test_a_presence_that_is_too_old_is_asked_for_again(store: FakeUpkeepStore) -> None:
    replicas = Replicas(store, DatabaseClock(FakeClock(NOW)), fresh_seconds=-1.0)

    assert (await replicas.presence()).share.count == 1
    assert (await replicas.presence()).share.count == 2


async def test_beats_go_on_when_postgres_is_back(store: FakeUpkeepStore) -> None:
    replicas = Replicas(store, DatabaseClock(FakeClock(NOW)), beat_seconds=0.001)
    store.down = True
    beating = asyncio.create_task(replicas.run())
    await eventually(lambda: store.beats >= 3)
    store.down = False
    failed = store.beats
    await eventually(lambda: store.beats >= failed + 3)
    beating.cancel()

    await asyncio.wait([beating])


async def test_a_replica_stops_also_if_it_cannot_say_so(store: FakeUpkeepStore) -> None:
    store.down = True
    await Replicas(store, DatabaseClock(FakeClock(NOW))).leave()

    assert store.left == 1
