"""The contract of the definition cache, held by the one in memory and by Redis."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from service_kit.data.redis import connect
from service_kit.process.connection_string import RedisAddress
from testkit import FakeClock
from workflow_catalog.adapters.memory.definition_cache import MemoryDefinitionCache
from workflow_catalog.adapters.redis.definition_cache import (
    KEPT_SECONDS,
    KEY,
    MAX_ENTRY_BYTES,
    PAUSE_SECONDS,
    SLOTS,
    RedisDefinitionCache,
)
from workflow_catalog.application.ports import DefinitionCache
from workflow_catalog.domain.definition import Definition


def definition(text: str) -> Definition:
    return Definition.from_json({"description": text, "tasks": []})


FIRST, SECOND = definition("ünï"), definition("second")


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(RedisAddress.parse(redis_url), client_name="test")
    yield client
    await client.aclose()


@pytest.fixture(params=["memory", "redis"])
def cache(request: pytest.FixtureRequest, clock: FakeClock) -> DefinitionCache:
    if request.param == "memory":
        return MemoryDefinitionCache()
    return RedisDefinitionCache(request.getfixturevalue("client"), clock)


async def test_a_definition_that_was_put_is_found(cache: DefinitionCache) -> None:
    await cache.put([FIRST, SECOND])
    assert await cache.get([FIRST.content_hash]) == {FIRST.content_hash: FIRST}
    both = [SECOND.content_hash, FIRST.content_hash]

    assert await cache.get(both) == {FIRST.content_hash: FIRST, SECOND.content_hash: SECOND}


async def test_a_definition_that_was_not_put_is_not_found(cache: DefinitionCache) -> None:
    await cache.put([FIRST])
    assert await cache.get([SECOND.content_hash]) == {}
    await cache.put([])


async def test_the_cache_has_a_bounded_number_of_entries(client: Redis, clock: FakeClock) -> None:
    cache = RedisDefinitionCache(client, clock)
    definitions = [definition(str(number)) for number in range(4 * SLOTS)]
    await cache.put(definitions)
    assert await client.hlen(KEY) <= SLOTS  # type: ignore[misc]
    assert 0 < await client.ttl(KEY) <= KEPT_SECONDS
    found = await cache.get([each.content_hash for each in definitions])

    assert SLOTS // 2 < len(found) <= SLOTS
    assert all(found[each.content_hash] == each for each in definitions if each.content_hash in found)


async def test_a_definition_that_stays_large_is_not_kept(client: Redis, clock: FakeClock) -> None:
    cache = RedisDefinitionCache(client, clock)
    large = definition("".join(chr(0x4E00 + (number * 7919) % 20_000) for number in range(MAX_ENTRY_BYTES)))
    await cache.put([large, FIRST])

    assert await cache.get([large.content_hash, FIRST.content_hash]) == {FIRST.content_hash: FIRST}


@pytest.mark.parametrize("entry", [b"", b"damaged", b"x\x9c\x03\x00\x00\x00\x00\x01", "cut off"])
async def test_a_damaged_entry_is_no_entry(client: Redis, clock: FakeClock, entry: bytes | str) -> None:
    cache = RedisDefinitionCache(client, clock)
    await cache.put([FIRST])
    ((slot, packed),) = (await client.hgetall(KEY)).items()  # type: ignore[misc]
    await client.hset(KEY, slot, packed[:-3] if isinstance(entry, str) else entry)  # type: ignore[misc]

    assert await cache.get([FIRST.content_hash]) == {}


async def test_an_entry_of_another_definition_is_not_taken_for_this_one(
    client: Redis, clock: FakeClock
) -> None:
    cache = RedisDefinitionCache(client, clock)
    await cache.put([FIRST])
    ((_, packed),) = (await client.hgetall(KEY)).items()  # type: ignore[misc]
    slots = {str(number): packed for number in range(SLOTS)}
    await client.hset(KEY, mapping=slots)  # type: ignore[misc]

    assert await cache.get([SECOND.content_hash]) == {}


async def test_a_redis_that_does_not_answer_has_nothing_and_is_asked_again_later(clock: FakeClock) -> None:
    dead = connect(RedisAddress.parse("127.0.0.1:1"), client_name="test")
    cache = RedisDefinitionCache(dead, clock)
    asked = 0
    real = dead.hmget

    async def counted(*arguments: object) -> object:
        nonlocal asked
        asked += 1
        return await real(*arguments)  # type: ignore[arg-type,misc]

    dead.hmget = counted  # type: ignore[method-assign,assignment]
    for _ in range(3):
        assert await cache.get([FIRST.content_hash]) == {}
        await cache.put([FIRST])
    assert asked == 1
    await clock.advance(PAUSE_SECONDS)
    assert await cache.get([FIRST.content_hash]) == {}
    assert asked == 2
    await dead.aclose()
