"""The contract of the queue, held by the fake and by Redis."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from execution_orchestrator.adapters.redis.queue import RedisQueue
from execution_orchestrator.application.ports_queue import MAX_SKIPPED, Queue
from execution_orchestrator.domain.hints import Hint
from redis.asyncio import Redis
from service_kit.connection_string import RedisAddress
from service_kit.redis import connect
from testkit import eventually

from tests.contract.orchestrator.fakes import FakeQueue

ALL = {("default", "noop"), ("default", "http.request"), ("team-a", "noop")}


def hint(
    number: int, task_type: str = "noop", namespace: str = "default", queue: str = "default", item: int = -1
) -> Hint:
    return Hint(namespace, UUID(int=number), "step_one", item, task_type, queue)


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(RedisAddress.parse(redis_url), client_name="test")
    yield client
    await client.aclose()


@pytest.fixture(params=["fake", "redis"])
def queue(request: pytest.FixtureRequest) -> Queue:
    return FakeQueue() if request.param == "fake" else RedisQueue(request.getfixturevalue("client"))


async def test_hints_come_out_in_the_order_they_went_in(queue: Queue) -> None:
    hints = [hint(3), hint(1, item=7), hint(2, "http.request", "default")]
    assert await queue.push(hints) == 3
    assert await queue.pop("default", 2, ALL) == hints[:2]
    assert await queue.pop("default", 2, ALL) == hints[2:]
    assert await queue.pop("default", 2, ALL) == []


async def test_a_hint_that_waits_is_not_added_again(queue: Queue) -> None:
    assert await queue.push([hint(1), hint(1), hint(2)]) == 2
    assert await queue.push([hint(2), hint(3)]) == 1
    assert await queue.pop("default", 10, ALL) == [hint(1), hint(2), hint(3)]


async def test_a_hint_that_was_taken_can_come_back(queue: Queue) -> None:
    await queue.push([hint(1)])
    await queue.pop("default", 1, ALL)
    assert await queue.push([hint(1)]) == 1


async def test_nobody_gets_hints_of_types_or_namespaces_he_does_not_accept(queue: Queue) -> None:
    await queue.push([hint(1, "http.request"), hint(2, namespace="team-a"), hint(3), hint(4, "http.request")])
    assert await queue.pop("default", 10, {("default", "noop")}) == [hint(3)]
    assert await queue.pop("default", 10, {("team-a", "noop")}) == [hint(2, namespace="team-a")]
    assert await queue.pop("default", 10, set()) == []
    assert await queue.pop("default", 10, ALL) == [hint(1, "http.request"), hint(4, "http.request")]


async def test_skipped_hints_keep_their_order(queue: Queue) -> None:
    strangers = [hint(number, "http.request") for number in range(10)]
    mine = [hint(number) for number in range(100, 110)]
    await queue.push([given for pair in zip(strangers, mine, strict=True) for given in pair])
    assert await queue.pop("default", 4, {("default", "noop")}) == mine[:4]
    assert await queue.pop("default", 100, {("default", "http.request")}) == strangers


async def test_a_pop_looks_past_a_limited_number_of_strangers(queue: Queue) -> None:
    await queue.push([hint(number, "http.request") for number in range(MAX_SKIPPED)])
    await queue.push([hint(1000), hint(1001, "http.request"), hint(1002)])
    assert await queue.pop("default", 5, {("default", "noop")}) == [hint(1000)]
    assert await queue.pop("default", 5, {("default", "noop")}) == []
    assert await queue.length("default") == MAX_SKIPPED + 2


async def test_named_queues_are_apart(queue: Queue) -> None:
    await queue.push([hint(1), hint(2, queue="gpu"), hint(3, queue="gpu")])
    assert await queue.queues() == ["default", "gpu"]
    assert (await queue.length("default"), await queue.length("gpu")) == (1, 2)
    assert await queue.pop("gpu", 10, ALL) == [hint(2, queue="gpu"), hint(3, queue="gpu")]
    assert await queue.pop("gpu", 10, ALL) == []
    assert await queue.queues() == ["default", "gpu"]


async def test_more_than_a_thousand_hints_go_in_with_one_push(queue: Queue) -> None:
    hints = [hint(number) for number in range(2_500)]
    assert await queue.push(hints) == 2_500
    assert await queue.push(hints) == 0
    first = await queue.pop("default", 5_000, ALL)
    assert first == hints[:1_000]
    assert await queue.length("default") == 1_500


async def test_the_age_is_that_of_the_oldest(queue: Queue) -> None:
    assert await queue.oldest_age("default") is None
    await queue.push([hint(1)])

    async def has_aged() -> bool:
        return (await queue.oldest_age("default") or 0) >= 0.03

    await eventually(has_aged)
    await queue.push([hint(2)])
    assert (await queue.oldest_age("default") or 0) >= 0.03
    await queue.pop("default", 2, ALL)
    assert await queue.oldest_age("default") is None


async def test_stats_tell_of_every_queue(queue: Queue) -> None:
    await queue.push([hint(1), hint(2), hint(3, queue="gpu")])
    await queue.pop("gpu", 1, ALL)
    default, gpu = await queue.stats()
    assert (default.queue, default.length) == ("default", 2)
    assert default.oldest_age_seconds is not None
    assert (gpu.queue, gpu.length, gpu.oldest_age_seconds) == ("gpu", 0, None)
    assert [stats.length for stats in await queue.stats("default")] == [2]


async def test_only_the_first_to_mark_a_generation_rebuilds(queue: Queue) -> None:
    assert await queue.generation("default") is None
    assert await queue.mark_generation("default") is True
    assert await queue.mark_generation("default") is False
    assert await queue.generation("default") is not None
    assert await queue.generation("gpu") is None
