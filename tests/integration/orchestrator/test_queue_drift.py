"""The keys in Redis: what users see, and that the queue recovers when somebody meddles with them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from execution_orchestrator.adapters.redis.queue import (
    RedisQueue,
    generation_key,
    kinds_key,
    members_key,
    order_key,
)
from execution_orchestrator.application.ports.hints import Hint, HintsUnavailableError
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from redis.asyncio import Redis
from redis.crc import key_slot
from service_kit.data.redis import connect
from service_kit.process.connection_string import RedisAddress
from workflow_contract.queues import queue_key

LIST, MEMBERS = "workflow:execution:queue", "{workflow:execution:queue}:members"
KINDS, ORDER = "{workflow:execution:queue}:kinds", "{workflow:execution:queue}:kind:default|noop"
NOOP = {("default", "noop")}
TASK_TYPES = st.sampled_from(["noop", "http.request"])


def hint(number: int, task_type: str = "noop") -> Hint:
    return Hint("default", UUID(int=number), "step_one", -1, task_type)


async def pop(queue: RedisQueue, limit: int = 10) -> list[Hint]:
    """Take hints of the kind noop, and return them without their scores."""
    return [each.hint for each in await queue.pop("default", limit, NOOP)]


async def lengths(client: Redis) -> tuple[int, int]:
    """How long the list and the set of members are."""
    return await client.llen(LIST), await client.zcard(MEMBERS)


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(RedisAddress.parse(redis_url), client_name="test")
    yield client
    await client.aclose()


@pytest.fixture
def queue(client: Redis) -> RedisQueue:
    return RedisQueue(client)


async def test_llen_of_the_documented_key_is_the_number_of_jobs(queue: RedisQueue, client: Redis) -> None:
    await queue.push([hint(1), hint(2)])
    assert await client.llen("workflow:execution:queue") == 2
    named = hint(3)._replace(queue="gpu")
    await queue.push([named])

    assert await client.llen("workflow:execution:queue:gpu") == 1
    assert await client.lrange(LIST, 0, 0) == [f"default|{UUID(int=1)}|step_one|-1|noop".encode()]


@pytest.mark.parametrize("name", ["default", "gpu"])
def test_the_keys_of_a_queue_share_a_slot_of_a_cluster(name: str) -> None:
    order = order_key(name, "team-{a}", "noop")
    keys = (queue_key(name), members_key(name), kinds_key(name), order, generation_key(name))

    assert len({key_slot(key.encode()) for key in keys}) == 1


async def test_a_queue_that_was_emptied_leaves_no_key(queue: RedisQueue, client: Redis) -> None:
    await queue.push([hint(1), hint(2, "http.request")])
    await pop(queue)
    seen = (await queue.page("default", 0))[1]

    assert await queue.remove("default", seen) == 1
    assert await client.keys("*") == [b"workflow:execution:queues"]


async def test_a_deleted_list_is_as_long_again_as_the_queue(queue: RedisQueue, client: Redis) -> None:
    await queue.push([hint(number) for number in range(12_000)])
    await client.delete(LIST)

    assert await pop(queue, 1) == [hint(0)]
    assert await queue.heal("default") is True
    assert await lengths(client) == (11_999, 11_999)
    assert await queue.heal("default") is False


async def test_a_list_that_somebody_trimmed_or_filled_counts_the_jobs_again(
    queue: RedisQueue, client: Redis
) -> None:
    await queue.push([hint(number) for number in range(20)])
    await client.ltrim(LIST, 0, 3)
    assert await queue.heal("default") is True
    assert await lengths(client) == (20, 20)

    await client.rpush(LIST, *(b"not a hint" for _ in range(20)))

    assert await queue.heal("default") is True
    assert await lengths(client) == (20, 20)
    assert await pop(queue, 30) == [hint(number) for number in range(20)]
    assert await client.exists(LIST, MEMBERS, KINDS, ORDER) == 0


async def test_deleted_members_come_back_all_of_them_with_their_ages(
    queue: RedisQueue, client: Redis
) -> None:
    hints = [hint(number, "noop" if number % 3 else "http.request") for number in range(3_500)]
    await queue.push(hints)
    ages = await client.zrange(MEMBERS, 0, -1, withscores=True)
    await client.delete(MEMBERS)

    assert await queue.heal("default") is True
    assert await client.zrange(MEMBERS, 0, -1, withscores=True) == ages
    assert await lengths(client) == (3_500, 3_500)


async def test_a_push_after_the_loss_of_the_members_keeps_the_age_of_what_waits(
    queue: RedisQueue, client: Redis
) -> None:
    await queue.push([hint(1)])
    (entry,) = await client.zrange(MEMBERS, 0, -1, withscores=True)
    await client.delete(MEMBERS)

    assert await queue.push([hint(1), hint(2)]) == 1
    assert (await client.zrange(MEMBERS, 0, -1, withscores=True))[0] == entry
    assert await queue.heal("default") is True
    assert await lengths(client) == (2, 2)
    assert await pop(queue) == [hint(1), hint(2)]


async def test_hints_whose_order_was_deleted_come_back_with_their_next_push(
    queue: RedisQueue, client: Redis
) -> None:
    await queue.push([hint(1), hint(2)])
    await client.delete(ORDER)

    assert await pop(queue) == []
    assert await queue.push([hint(2), hint(1), hint(3)]) == 3
    assert await lengths(client) == (3, 3)
    assert await pop(queue) == [hint(1), hint(2), hint(3)]


async def test_kinds_that_were_deleted_come_back_with_the_next_push_of_any_of_their_hints(
    queue: RedisQueue, client: Redis
) -> None:
    await queue.push([hint(1), hint(2)])
    await client.delete(KINDS)

    assert await queue.push([hint(2)]) == 0
    assert await pop(queue) == [hint(1), hint(2)]


async def test_members_that_are_no_hints_are_removed_when_they_are_seen(
    queue: RedisQueue, client: Redis
) -> None:
    await client.zadd(MEMBERS, {"hello": 1, f"default|{UUID(int=9)}|t|x|noop": 2, b"\xff": 3})
    await queue.push([hint(1)])

    assert [each.hint for each in (await queue.page("default", 0))[1]] == [hint(1)]
    assert await queue.heal("default") is True
    assert await lengths(client) == (1, 1)


async def test_hints_of_the_release_before_are_found_with_their_ages(
    queue: RedisQueue, client: Redis
) -> None:
    """It kept one list for all kinds, which workers took from, and the same set of members."""
    old = {hint(number).encode(): 1_700_000_000_000 + number for number in range(3)}
    await client.rpush(LIST, *old)
    await client.zadd(MEMBERS, old)
    await client.set(generation_key("default"), "0123456789abcdef")
    assert await queue.mark_generation("default") is True
    assert await queue.mark_generation("default") is False
    assert await queue.push([hint(2), hint(0), hint(1)]) == 3
    assert await lengths(client) == (3, 3)

    (stats,) = await queue.stats(["default"])

    assert (stats.oldest_age_seconds or 0) > 1_000_000
    assert await pop(queue) == [hint(0), hint(1), hint(2)]
    assert await lengths(client) == (0, 0)


async def test_a_pop_of_the_release_before_takes_nothing_from_its_successor(
    queue: RedisQueue, client: Redis
) -> None:
    """During a rolling upgrade it takes from the list: a hint may be served twice, and is never lost."""
    await queue.push([hint(1), hint(2)])
    await client.lpop(LIST)
    await client.zrem(MEMBERS, hint(1).encode())

    assert await pop(queue, 1) == [hint(1)]
    assert await lengths(client) == (1, 1)
    assert await pop(queue, 1) == [hint(2)]
    assert await lengths(client) == (0, 0)


async def test_a_wiped_redis_forgets_the_generation_and_learns_the_scripts_again(
    queue: RedisQueue, client: Redis
) -> None:
    await queue.push([hint(1)])
    await queue.mark_generation("default")
    await client.flushall()
    await client.script_flush()

    assert not await client.exists(generation_key("default"))
    assert await queue.push([hint(1)]) == 1
    assert await queue.mark_generation("default") is True
    assert await queue.queues() == ["default"]


async def test_two_orchestrators_never_pop_the_same_hint(queue: RedisQueue, redis_url: str) -> None:
    other_client = connect(RedisAddress.parse(redis_url), client_name="other")
    other = RedisQueue(other_client)
    hints = [hint(number, "noop" if number % 3 else "http.request") for number in range(600)]
    await queue.push(hints)

    async def drain(end: RedisQueue) -> list[Hint]:
        taken: list[Hint] = []
        while got := await pop(end, 7):
            taken += got
        return taken

    mine, others = await asyncio.gather(drain(queue), drain(other))
    await other_client.aclose()
    assert sorted(mine + others) == sorted(given for given in hints if given.task_type == "noop")


async def test_an_unreachable_redis_is_named(redis_server: Any, queue: RedisQueue) -> None:
    await queue.push([hint(1)])
    redis_server.kill()
    with pytest.raises(HintsUnavailableError, match="Redis does not answer"):
        await queue.push([hint(2)])
    with pytest.raises(HintsUnavailableError):
        await queue.pop("default", 1, NOOP)
    with pytest.raises(HintsUnavailableError):
        await queue.stats(["default"])

    redis_server.start()

    assert await queue.push([hint(2)]) == 1


class QueueMachine(RuleBasedStateMachine):
    """Random pushes, pops and meddling against a plain list."""

    url: str

    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        self.client = connect(RedisAddress.parse(self.url), client_name="machine")
        self.queue = RedisQueue(self.client)
        self.model: list[Hint] = []
        self.runner.run(self.client.flushall())

    @rule(hints=st.lists(st.builds(hint, st.integers(0, 8), TASK_TYPES), max_size=8))
    def push(self, hints: list[Hint]) -> None:
        fresh = [given for given in dict.fromkeys(hints) if given not in self.model]
        assert self.runner.run(self.queue.push(hints)) == len(fresh)
        self.model += fresh

    @rule(limit=st.integers(1, 5), task_types=st.sets(TASK_TYPES))
    def pop(self, limit: int, task_types: set[str]) -> None:
        expected = [given for given in self.model if given.task_type in task_types][:limit]
        accepts = {("default", task_type) for task_type in task_types}
        taken = self.runner.run(self.queue.pop("default", limit, accepts))
        assert [each.hint for each in taken] == expected
        self.model = [given for given in self.model if given not in expected]

    @rule(places=st.sets(st.integers(0, 8)))
    def remove(self, places: set[int]) -> None:
        _, seen = self.runner.run(self.queue.page("default", 0))
        stale = [each for each in seen if each.hint.execution_id.int in places]
        assert self.runner.run(self.queue.remove("default", stale)) == len(stale)
        gone = {each.hint for each in stale}
        self.model = [given for given in self.model if given not in gone]

    @rule(what=st.sampled_from(["delete list", "delete members", "pop by hand", "push by hand", "wipe"]))
    def meddle(self, what: str) -> None:
        """Everything but a wipe is repaired by `heal`, and loses no hint."""
        match what:
            case "delete list":
                self.runner.run(self.client.delete(LIST))
            case "delete members":
                self.runner.run(self.client.delete(MEMBERS))
            case "pop by hand":
                self.runner.run(self.client.lpop(LIST))
            case "push by hand":
                self.runner.run(self.client.rpush(LIST, "by hand"))
            case "wipe":
                self.runner.run(self.client.flushall())
                self.model = []
        self.runner.run(self.queue.heal("default"))

    @invariant()
    def the_keys_are_what_the_model_says(self) -> None:
        if not hasattr(self, "client"):
            return
        members = self.runner.run(self.client.zrange(MEMBERS, 0, -1))
        assert members == [given.encode().encode() for given in self.model]
        assert self.runner.run(self.client.llen(LIST)) == len(self.model)
        orders = self.runner.run(self.client.keys("{workflow:execution:queue}:kind:*"))
        assert set(orders) == {
            order_key("default", "default", each.task_type).encode() for each in self.model
        }
        kinds = self.runner.run(self.client.zrange(KINDS, 0, -1))
        assert kinds == [
            f"default|{type_}".encode() for type_ in dict.fromkeys(h.task_type for h in self.model)
        ]

    def teardown(self) -> None:
        if hasattr(self, "client"):
            self.runner.run(self.client.aclose())
            self.runner.close()


def test_any_order_of_pushes_pops_and_meddling_keeps_the_queue_true(redis_url: str) -> None:
    machine = type("Machine", (QueueMachine,), {"url": redis_url})
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    limits = settings(max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=checks)
    run_state_machine_as_test(machine, settings=limits)
