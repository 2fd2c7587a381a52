"""The contract of locks, held by the fake and by Redis."""

from collections.abc import AsyncIterator, Callable

import pytest
from execution_orchestrator.adapters.redis.lock import RedisLock
from execution_orchestrator.application.ports.lock import Lock
from redis.asyncio import Redis
from service_kit.data.redis import connect
from service_kit.process.connection_string import RedisAddress
from testkit import eventually

from tests.fakes.lock import FakeLock, FakeLocks

Make = Callable[[str, float], Lock]
LONG, MIDDLE, SHORT = 30.0, 0.5, 0.15


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(RedisAddress.parse(redis_url), client_name="test")
    yield client
    await client.aclose()


@pytest.fixture(params=["fake", "redis"])
def make(request: pytest.FixtureRequest) -> Make:
    if request.param == "fake":
        locks = FakeLocks()
        return lambda duty, ttl: FakeLock(locks, duty, ttl_seconds=ttl)
    client = request.getfixturevalue("client")
    return lambda duty, ttl: RedisLock(client, duty, ttl_seconds=ttl)


async def test_one_of_two_gets_the_lock(make: Make) -> None:
    mine, other = make("sweep", LONG), make("sweep", LONG)

    assert await mine.try_acquire()
    assert not await other.try_acquire()


async def test_duties_have_locks_of_their_own(make: Make) -> None:
    assert await make("sweep", LONG).try_acquire()
    assert await make("retention", LONG).try_acquire()


async def test_the_holder_may_acquire_the_lock_again(make: Make) -> None:
    lock = make("sweep", LONG)

    assert await lock.try_acquire()
    assert await lock.try_acquire()


async def test_a_released_lock_is_free(make: Make) -> None:
    mine, other = make("sweep", LONG), make("sweep", LONG)
    await mine.try_acquire()
    await mine.release()

    assert await other.try_acquire()


async def test_nobody_releases_or_extends_the_lock_of_another(make: Make) -> None:
    mine, other = make("sweep", LONG), make("sweep", LONG)
    await mine.try_acquire()

    await other.release()

    assert not await other.try_acquire()
    assert await mine.try_acquire()


async def test_an_expired_lock_is_lost_and_free(make: Make) -> None:
    mine, other = make("sweep", SHORT), make("sweep", LONG)
    await mine.try_acquire()

    await eventually(other.try_acquire)

    assert not await mine.try_acquire()


async def test_a_lock_that_is_acquired_again_in_time_is_kept(make: Make) -> None:
    mine, other = make("sweep", MIDDLE), make("sweep", LONG)
    watcher = make("elsewhere", MIDDLE * 2)
    await watcher.try_acquire()

    async def twice_the_time_to_live_has_passed() -> bool:
        assert await mine.try_acquire()
        assert not await other.try_acquire()
        return await make("elsewhere", LONG).try_acquire()

    await eventually(twice_the_time_to_live_has_passed)
