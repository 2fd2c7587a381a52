"""The keys in Redis: what users see, and that the queue recovers when somebody meddles with them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from execution_orchestrator.adapters.redis.queue import RedisQueue, generation_key, list_key, members_key
from execution_orchestrator.application.ports_queue import HintsUnavailableError
from execution_orchestrator.domain.hints import Hint
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from redis.asyncio import Redis
from redis.crc import key_slot
from service_kit.connection_string import RedisAddress
from service_kit.redis import connect

LIST, MEMBERS = "workflow:execution:queue", "{workflow:execution:queue}:members"
NOOP = {("default", "noop")}
TASK_TYPES = st.sampled_from(["noop", "http.request"])


def hint(number: int, task_type: str = "noop") -> Hint:
    return Hint("default", UUID(int=number), "step_one", -1, task_type)


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
    keys = (list_key(name), members_key(name), generation_key(name))
    assert len({key_slot(key.encode()) for key in keys}) == 1


async def test_a_deleted_list_does_not_keep_hints_out_for_ever(queue: RedisQueue, client: Redis) -> None:
    await queue.push([hint(1), hint(2)])
    await client.delete(LIST)
    assert await queue.push([hint(2)]) == 1
    assert await queue.pop("default", 10, NOOP) == [hint(2)]
    assert await queue.push([hint(1)]) == 1


async def test_deleted_members_are_made_anew_from_the_list(queue: RedisQueue, client: Redis) -> None:
    await queue.push([hint(1), hint(2)])
    await client.delete(MEMBERS)
    assert await queue.push([hint(1), hint(3)]) == 1
    assert await client.zcard(MEMBERS) == 3
    assert await queue.pop("default", 10, NOOP) == [hint(1), hint(2), hint(3)]


async def test_doubles_that_somebody_put_into_the_list_leave_it(queue: RedisQueue, client: Redis) -> None:
    await queue.push([hint(1), hint(2)])
    age = await queue.oldest_age("default")
    await client.lpush(LIST, hint(2).encode())
    await queue.push([hint(3)])
    assert await queue.pop("default", 10, NOOP) == [hint(2), hint(1), hint(3)]
    assert age is not None


async def test_what_is_no_hint_is_removed(queue: RedisQueue, client: Redis) -> None:
    await client.rpush(LIST, "hello", "a|b", f"default|{UUID(int=9)}|t|x|noop")
    await queue.push([hint(1)])
    assert await queue.pop("default", 10, NOOP) == [hint(1)]
    assert await client.exists(LIST, MEMBERS) == 0


async def test_an_old_members_set_without_a_list_has_no_age(queue: RedisQueue, client: Redis) -> None:
    await queue.push([hint(1)])
    await client.delete(LIST)
    assert await queue.oldest_age("default") is None
    assert await queue.pop("default", 1, NOOP) == []
    assert await client.exists(MEMBERS) == 0


async def test_a_wiped_redis_forgets_the_generation_and_learns_the_scripts_again(
    queue: RedisQueue, client: Redis
) -> None:
    await queue.push([hint(1)])
    await queue.mark_generation("default")
    await client.flushall()
    await client.script_flush()
    assert await queue.generation("default") is None
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
        while got := await end.pop("default", 7, NOOP):
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
        await queue.stats()
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
        self.meddled = False
        self.runner.run(self.client.flushall())

    @rule(hints=st.lists(st.builds(hint, st.integers(0, 8), TASK_TYPES), max_size=8))
    def push(self, hints: list[Hint]) -> None:
        fresh = [given for given in dict.fromkeys(hints) if given not in self.model]
        assert self.runner.run(self.queue.push(hints)) == len(fresh)
        self.model += fresh
        self.meddled = self.meddled and not hints

    @rule(limit=st.integers(1, 5), task_types=st.sets(TASK_TYPES))
    def pop(self, limit: int, task_types: set[str]) -> None:
        expected = [given for given in self.model if given.task_type in task_types][:limit]
        accepts = {("default", task_type) for task_type in task_types}
        assert self.runner.run(self.queue.pop("default", limit, accepts)) == expected
        self.model = [given for given in self.model if given not in expected]

    @rule(what=st.sampled_from(["delete list", "delete members", "pop by hand", "wipe"]))
    def meddle(self, what: str) -> None:
        if what == "delete members":
            self.runner.run(self.client.delete(MEMBERS))
        elif what == "pop by hand":
            self.runner.run(self.client.lpop(LIST))
            self.model = self.model[1:]
        else:
            self.runner.run(self.client.delete(LIST) if what == "delete list" else self.client.flushall())
            self.model = []
        self.meddled = what != "wipe"

    @invariant()
    def the_list_is_what_the_model_says(self) -> None:
        if not hasattr(self, "client"):
            return
        listed = self.runner.run(self.client.lrange(LIST, 0, -1))
        assert listed == [given.encode().encode() for given in self.model]
        if not self.meddled:
            assert set(self.runner.run(self.client.zrange(MEMBERS, 0, -1))) == set(listed)

    def teardown(self) -> None:
        if hasattr(self, "client"):
            self.runner.run(self.client.aclose())
            self.runner.close()


def test_any_order_of_pushes_pops_and_meddling_keeps_the_queue_true(redis_url: str) -> None:
    machine = type("Machine", (QueueMachine,), {"url": redis_url})
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    limits = settings(max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=checks)
    run_state_machine_as_test(machine, settings=limits)
