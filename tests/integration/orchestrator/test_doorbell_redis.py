"""The doorbell on a Redis that comes and goes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
from execution_orchestrator.adapters.redis.doorbell import RedisDoorbell
from execution_orchestrator.adapters.redis.lock import RedisLock
from execution_orchestrator.application.ports.hints import HintsUnavailableError
from redis.asyncio import Redis
from service_kit.data.redis import connect
from service_kit.process.connection_string import RedisAddress
from testkit import eventually
from workflow_contract.doorbell import Ring

RING = Ring("default", UUID(int=1), 4, "RUNNING")


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(RedisAddress.parse(redis_url), client_name="test")
    yield client
    await client.aclose()


async def test_a_batch_is_lines_of_four_or_five_words(client: Redis) -> None:
    async with client.pubsub() as pubsub:
        await pubsub.subscribe("workflow:execution:events")
        await pubsub.get_message(timeout=5)
        await RedisDoorbell(client).publish(
            [RING, RING._replace(status="CANCELLED", workers_must_check=True)]
        )
        message = await pubsub.get_message(timeout=5)
    assert message is not None

    lines = message["data"].decode().split("\n")

    assert lines == [f"default {UUID(int=1)} 4 RUNNING", f"default {UUID(int=1)} 4 CANCELLED stop"]


async def test_a_listener_skips_lines_that_are_no_rings(client: Redis) -> None:
    heard: list[Ring] = []
    gaps = asyncio.Event()
    task = asyncio.create_task(RedisDoorbell(client).listen(heard.extend, gaps.set))
    await gaps.wait()
    text = f"hello\ndefault nobody 4 RUNNING\n{RING.encode()} stop later-word"
    await client.publish("workflow:execution:events", text)
    await eventually(lambda: heard == [RING._replace(workers_must_check=True)])
    task.cancel()

    await asyncio.wait([task])


async def test_a_listener_is_told_that_it_may_have_missed_rings(client: Redis, redis_server: Any) -> None:
    gaps: list[int] = []
    heard: list[Ring] = []
    doorbell = RedisDoorbell(client)
    task = asyncio.create_task(doorbell.listen(heard.extend, lambda: gaps.append(1)))
    await eventually(lambda: len(gaps) == 1)
    redis_server.kill()
    with pytest.raises(HintsUnavailableError):
        await doorbell.publish([RING])
    redis_server.start()
    await eventually(lambda: len(gaps) == 2, timeout=20)
    other = RedisDoorbell(client)
    await other.publish([RING])
    await eventually(lambda: heard == [RING])
    task.cancel()

    with suppress(asyncio.CancelledError):
        await task


async def test_an_unreachable_lock_can_be_released(client: Redis, redis_server: Any) -> None:
    lock = RedisLock(client, "sweep")
    await lock.try_acquire()
    redis_server.kill()
    with pytest.raises(HintsUnavailableError):
        await lock.try_acquire()
    await lock.release()
