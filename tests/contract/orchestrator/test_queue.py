"""The contract of the queue, held by the fake and by Redis."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from execution_orchestrator.adapters.redis.queue import RedisQueue
from execution_orchestrator.application.ports.hints import Hint
from execution_orchestrator.application.ports.queue import Queue, QueuedHint
from redis.asyncio import Redis
from service_kit.data.redis import connect
from service_kit.process.connection_string import RedisAddress
from testkit import eventually

from tests.fakes.queue import FakeQueue

ALL = {("default", "noop"), ("default", "http.request"), ("team-a", "noop")}


def hint(
    number: int, task_type: str = "noop", namespace: str = "default", queue: str = "default", item: int = -1
) -> Hint:
    return Hint(namespace, UUID(int=number), "step_one", item, task_type, queue)


async def pop(queue: Queue, name: str, limit: int, accepts: set[tuple[str, str]]) -> list[Hint]:
    """Take hints, and return them without their scores."""
    return [each.hint for each in await queue.pop(name, limit, accepts)]


async def walk(queue: Queue, name: str = "default") -> list[QueuedHint]:
    """Return every page of the queue as one list."""
    cursor, seen = await queue.page(name, 0)
    while cursor:
        cursor, more = await queue.page(name, cursor)
        seen += more
    return seen


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
    assert await pop(queue, "default", 2, ALL) == hints[:2]
    assert await pop(queue, "default", 2, ALL) == hints[2:]
    assert await pop(queue, "default", 2, ALL) == []


async def test_a_hint_that_waits_is_not_added_again(queue: Queue) -> None:
    assert await queue.push([hint(1), hint(1), hint(2)]) == 2
    assert await queue.push([hint(2), hint(3)]) == 1
    assert await pop(queue, "default", 10, ALL) == [hint(1), hint(2), hint(3)]


async def test_a_hint_that_was_taken_can_come_back(queue: Queue) -> None:
    await queue.push([hint(1)])
    await pop(queue, "default", 1, ALL)

    assert await queue.push([hint(1)]) == 1


async def test_a_pop_returns_only_hints_of_accepted_types_and_namespaces(queue: Queue) -> None:
    await queue.push([hint(1, "http.request"), hint(2, namespace="team-a"), hint(3), hint(4, "http.request")])

    assert await pop(queue, "default", 10, {("default", "noop")}) == [hint(3)]
    assert await pop(queue, "default", 10, {("team-a", "noop")}) == [hint(2, namespace="team-a")]
    assert await pop(queue, "default", 10, set()) == []
    assert await pop(queue, "default", 10, ALL) == [hint(1, "http.request"), hint(4, "http.request")]


async def test_skipped_hints_keep_their_order(queue: Queue) -> None:
    strangers = [hint(number, "http.request") for number in range(10)]
    mine = [hint(number) for number in range(100, 110)]
    await queue.push([given for pair in zip(strangers, mine, strict=True) for given in pair])

    assert await pop(queue, "default", 4, {("default", "noop")}) == mine[:4]
    assert await pop(queue, "default", 100, {("default", "http.request")}) == strangers


async def test_a_pop_finds_its_hint_behind_any_number_of_others(queue: Queue) -> None:
    await queue.push([hint(number, "http.request") for number in range(1_500)])
    await queue.push([hint(number, namespace="team-a") for number in range(1_500, 1_700)])
    await queue.push([hint(5_000)])

    assert await pop(queue, "default", 5, {("default", "noop")}) == [hint(5_000)]
    assert await queue.length("default") == 1_700


async def test_hints_of_many_kinds_leave_in_the_order_in_which_they_came(queue: Queue) -> None:
    kinds = [f"type-{number}" for number in range(40)]
    hints = [hint(number, kinds[number * number % 37]) for number in range(300)]
    await queue.push(hints)
    accepts = {("default", kind) for kind in [*kinds, *(f"absent-{number}" for number in range(960))]}
    taken: list[Hint] = []
    while got := await pop(queue, "default", 7, accepts):
        taken += got

    assert taken == hints


async def test_a_kind_whose_name_is_a_part_of_an_accepted_one_is_not_accepted(queue: Queue) -> None:
    await queue.push([hint(1, "noop"), hint(2, "noop.long"), hint(3, "a.noop"), hint(4, namespace="fault")])

    assert await pop(queue, "default", 10, {("default", "noop.longer"), ("default", "a.noop")}) == [
        hint(3, "a.noop")
    ]
    assert await queue.length("default") == 3


async def test_hints_that_are_put_back_keep_their_places(queue: Queue) -> None:
    hints = [hint(number, "noop" if number % 2 else "http.request") for number in range(6)]
    await queue.push(hints)
    taken = await queue.pop("default", 4, ALL)
    await queue.push([hint(10)])
    await queue.put_back(taken[1:])
    await queue.put_back(taken[1:])

    assert await queue.length("default") == 6
    assert await pop(queue, "default", 10, ALL) == [*hints[1:], hint(10)]


def ranked(each: Hint, priority: int, finishing_time: float) -> QueuedHint:
    """Return a hint with a score that says priority first, then the virtual finishing time of its share."""
    return QueuedHint(each, priority * 1e12 + finishing_time)


async def test_scores_can_carry_priorities_and_fair_shares(queue: Queue) -> None:
    """Only the score decides which hint leaves first, within a kind and between kinds. So priorities and fair
    shares need other scores, but no other keys, and the length of the queue stays the number of its jobs.
    """
    flood = [ranked(hint(number), 3, number) for number in range(1_000)]
    others = [ranked(hint(2_000 + number), 3, number + 0.5) for number in range(5)]
    urgent = ranked(hint(3_000, "http.request"), 1, 5_000)
    late = ranked(hint(4_000, "http.request"), 5, 0)
    for first in range(0, len(flood), 500):
        await queue.put_back(flood[first : first + 500])

    await queue.put_back([*others, late, urgent])

    assert await queue.length("default") == 1_007
    shares = [each.hint for pair in zip(flood, others, strict=False) for each in pair]
    assert await pop(queue, "default", 11, ALL) == [urgent.hint, *shares]
    rest = [each.hint for each in flood[5:]]
    assert await pop(queue, "default", 1_000, ALL) == [*rest, late.hint]
    assert await queue.length("default") == 0


async def test_the_pages_of_a_queue_show_every_hint_and_take_none(queue: Queue) -> None:
    hints = [hint(number, "noop" if number % 3 else "http.request") for number in range(2_500)]
    await queue.push(hints)

    assert {each.hint for each in await walk(queue)} == set(hints)
    assert await queue.length("default") == 2_500
    assert await walk(queue, "gpu") == []


async def test_hints_that_were_seen_can_be_removed(queue: Queue) -> None:
    await queue.push([hint(number) for number in range(4)])
    seen = sorted(await walk(queue), key=lambda each: each.score)
    await queue.pop("default", 2, ALL)
    await queue.push([hint(1)])  # it has another place now, for it became ready again

    assert await queue.remove("default", seen[:3]) == 1
    assert await queue.remove("default", seen[:3]) == 0
    assert await queue.length("default") == 2
    assert await pop(queue, "default", 10, ALL) == [hint(3), hint(1)]


async def test_a_queue_that_nobody_damaged_has_nothing_to_heal(queue: Queue) -> None:
    assert await queue.heal("default") is False
    await queue.push([hint(number) for number in range(3)])
    await queue.pop("default", 1, ALL)

    assert await queue.heal("default") is False
    assert await pop(queue, "default", 10, ALL) == [hint(1), hint(2)]


async def test_named_queues_are_apart(queue: Queue) -> None:
    await queue.push([hint(1), hint(2, queue="gpu"), hint(3, queue="gpu")])

    assert await queue.queues() == ["default", "gpu"]
    assert (await queue.length("default"), await queue.length("gpu")) == (1, 2)
    assert await pop(queue, "gpu", 10, ALL) == [hint(2, queue="gpu"), hint(3, queue="gpu")]
    assert await pop(queue, "gpu", 10, ALL) == []
    assert await queue.queues() == ["default", "gpu"]


async def test_more_than_a_thousand_hints_go_in_with_one_push(queue: Queue) -> None:
    hints = [hint(number) for number in range(2_500)]
    assert await queue.push(hints) == 2_500
    assert await queue.push(hints) == 0
    first = await pop(queue, "default", 5_000, ALL)

    assert first == hints[:1_000]
    assert await queue.length("default") == 1_500


async def oldest_age(queue: Queue) -> float | None:
    (stats,) = await queue.stats(["default"])
    return stats.oldest_age_seconds


async def test_the_age_is_that_of_the_oldest(queue: Queue) -> None:
    assert await oldest_age(queue) is None
    await queue.push([hint(1)])

    async def has_aged() -> bool:
        return (await oldest_age(queue) or 0) >= 0.03

    await eventually(has_aged)
    await queue.push([hint(2)])
    assert (await oldest_age(queue) or 0) >= 0.03
    await pop(queue, "default", 2, ALL)
    assert await oldest_age(queue) is None


async def test_stats_tell_of_every_queue(queue: Queue) -> None:
    await queue.push([hint(1), hint(2), hint(3, queue="gpu")])
    await pop(queue, "gpu", 1, ALL)
    default, gpu, nobody = await queue.stats([*await queue.queues(), "nobody"])

    assert (default.queue, default.length) == ("default", 2)
    assert default.oldest_age_seconds is not None
    assert (gpu.queue, gpu.length, gpu.oldest_age_seconds) == ("gpu", 0, None)
    assert (nobody.queue, nobody.length, nobody.oldest_age_seconds) == ("nobody", 0, None)
    assert await queue.stats([]) == []


async def test_only_the_first_to_mark_a_generation_rebuilds(queue: Queue) -> None:
    assert await queue.mark_generation("default") is True
    assert await queue.mark_generation("default") is False
    assert await queue.mark_generation("gpu") is True
