"""The contract of the doorbell, held by the fake and by Redis."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import pytest
from execution_orchestrator.adapters.redis.doorbell import RedisDoorbell
from execution_orchestrator.application.ports.doorbell import Doorbell
from redis.asyncio import Redis
from service_kit.data.redis import connect
from service_kit.process.connection_string import RedisAddress
from testkit import eventually
from workflow_contract.doorbell import Ring

from tests.fakes.doorbell import FakeBus, FakeDoorbell

RINGS = [
    Ring("default", UUID(int=1), 4, "RUNNING"),
    Ring("team-a", UUID(int=2), 9, "CANCELLED", workers_must_check=True),
]


class Listener:
    """Notes what a doorbell told it."""

    def __init__(self) -> None:
        self.messages: list[Sequence[Ring]] = []
        self.gaps = 0

    def on_gap(self) -> None:
        self.gaps += 1


@asynccontextmanager
async def listening(doorbell: Doorbell) -> AsyncIterator[Listener]:
    listener = Listener()
    task = asyncio.create_task(doorbell.listen(listener.messages.append, listener.on_gap))
    await eventually(lambda: listener.gaps == 1)
    yield listener
    task.cancel()
    await asyncio.wait([task])


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(RedisAddress.parse(redis_url), client_name="test")
    yield client
    await client.aclose()


@pytest.fixture(params=["fake", "redis"])
def make(request: pytest.FixtureRequest) -> Callable[[], Doorbell]:
    if request.param == "fake":
        bus = FakeBus()
        return lambda: FakeDoorbell(bus)
    client = request.getfixturevalue("client")
    return lambda: RedisDoorbell(client)


async def test_another_process_hears_a_batch_as_one_message(make: Callable[[], Doorbell]) -> None:
    async with listening(make()) as listener:
        await make().publish(RINGS)
        await eventually(lambda: listener.messages == [RINGS])


async def test_a_process_does_not_hear_its_own_rings(make: Callable[[], Doorbell]) -> None:
    mine, other = make(), make()
    async with listening(mine) as listener:
        await mine.publish(RINGS)
        await mine.publish(RINGS)
        await other.publish(RINGS[:1])
        await eventually(lambda: listener.messages == [RINGS[:1]])


async def test_the_same_words_of_another_process_are_heard(make: Callable[[], Doorbell]) -> None:
    mine, other = make(), make()
    async with listening(mine) as listener:
        await mine.publish(RINGS)
        await other.publish(RINGS)
        await eventually(lambda: listener.messages == [RINGS])


async def test_no_rings_are_no_message(make: Callable[[], Doorbell]) -> None:
    async with listening(make()) as listener:
        await make().publish([])
        await make().publish(RINGS)
        await eventually(lambda: listener.messages == [RINGS])
