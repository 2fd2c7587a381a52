"""Redis loses what it had: delay, never work."""

from typing import Any
from uuid import UUID

import pytest
from execution_orchestrator.adapters.redis.queue import RedisQueue
from execution_orchestrator.application.ports.hints import Hint
from execution_orchestrator.application.upkeep.stale_hints import StaleHints
from execution_orchestrator.application.workers.dispatcher import DispatcherPace
from execution_orchestrator.tuning import Tuning
from redis.asyncio import Redis
from service_kit.tools.ids import new_uuid7
from testkit import eventually
from workflowsystem.execution.v1 import execution_service_pb2 as pb

from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.conftest import Launch
from tests.integration.orchestrator.scripted_worker import ScriptedWorker, hello
from tests.integration.orchestrator.service import Service, without_a_safety_net

ONE_TASK: dict[str, Any] = {"id": "only", "type": "noop"}
LIST, MEMBERS = "workflow:execution:queue", "{workflow:execution:queue}:members"


async def queued(service: Service) -> dict[str, int]:
    stats = await service.executions.GetQueueStats(pb.GetQueueStatsRequest())
    return {each.queue: each.length for each in stats.queues}


async def start_some(service: Service, catalog: FakeCatalog, count: int = 5) -> set[str]:
    catalog.publish(ONE_TASK)
    return {(await service.start()).execution_id for _ in range(count)}


async def drained(service: Service, count: int, **fields: Any) -> set[str]:
    """The executions of so many leases, which then succeed."""
    async with ScriptedWorker(service.workers, hello(**fields), credits=count) as worker:
        leases = await worker.leases(count)
        await worker.succeed(*leases)
        for lease in leases:
            assert await worker.ack(lease) == "RECORDED"
    return {lease.task.execution_id for lease in leases}


async def test_llen_is_the_number_of_waiting_jobs(
    service: Service, catalog: FakeCatalog, redis_url: str
) -> None:
    """As the users' runbook says: redis-cli LLEN workflow:execution:queue."""
    started = await start_some(service, catalog)
    async with Redis.from_url(redis_url) as redis:
        assert await redis.llen(LIST) == len(started)  # right after the replies
        assert await drained(service, len(started)) == started
        assert (await redis.llen(LIST), await redis.exists(MEMBERS)) == (0, 0)


@without_a_safety_net
async def test_a_wiped_redis_is_noticed_and_every_queue_rebuilt(
    service: Service, catalog: FakeCatalog, redis_url: str
) -> None:
    """Tasks that became READY a moment ago come back too: the sweep for lost hints does not run here."""
    catalog.publish({**ONE_TASK, "queue": "gpu"}, workflow_id="on-gpu")
    on_gpu = {(await service.start(workflow_id="on-gpu")).execution_id for _ in range(2)}
    started = await start_some(service, catalog)
    expected = {"default": 5, "gpu": 2}
    assert await queued(service) == expected
    async with Redis.from_url(redis_url) as redis:
        await redis.flushall()

        async def rebuilt() -> None:
            assert await queued(service) == expected

        await eventually(rebuilt, timeout=5)
    assert await drained(service, 5) == started
    assert await drained(service, 2, queues=["gpu"]) == on_gpu


async def test_after_a_wipe_every_replica_names_its_queues_again(redis_url: str) -> None:
    async with Redis.from_url(redis_url) as redis:
        one, two = RedisQueue(redis), RedisQueue(redis)
        hint = Hint("default", new_uuid7(), "only", -1, "noop", "gpu")
        for queue in (one, two):
            await queue.mark_generation("default")
            await queue.push([hint])
        await redis.flushall()
        assert await one.mark_generation("default")
        assert not await two.mark_generation("default")

        await two.push([hint])

        assert await two.queues() == ["default", "gpu"]


async def test_a_list_that_was_deleted_is_swept_back(
    service: Service, catalog: FakeCatalog, redis_url: str
) -> None:
    started = await start_some(service, catalog)
    async with Redis.from_url(redis_url) as redis:
        await redis.delete(LIST)  # its members set still says that all of them are queued
        await eventually(lambda: _has(redis, len(started)), timeout=8)

    assert await drained(service, len(started)) == started


async def _has(redis: Any, length: int) -> None:
    assert await redis.llen(LIST) == length


async def test_hints_that_a_dead_orchestrator_had_popped_are_swept_back(
    service: Service, catalog: FakeCatalog
) -> None:
    started = await start_some(service, catalog)
    popped = await service.orchestrator.queue.pop("default", 100, {("default", "noop")})

    assert len(popped) == len(started)
    assert await drained(service, len(started)) == started


async def test_a_hint_that_the_sweep_brought_back_is_served_without_a_poll(
    launch: Launch, catalog: FakeCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await launch(tuning=Tuning(dispatcher=DispatcherPace(poll_seconds=3600.0)))
    catalog.publish(ONE_TASK)
    started = await service.start()
    pop, popped = service.orchestrator.queue.pop, []

    async def pop_and_lose(*arguments: Any) -> Any:
        popped.extend(hints := await pop(*arguments))
        if hints:
            monkeypatch.setattr(service.orchestrator.queue, "pop", pop)
        return []

    monkeypatch.setattr(service.orchestrator.queue, "pop", pop_and_lose)
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        assert (await worker.lease()).task.execution_id == started.execution_id
    assert len(popped) == 1


async def test_hints_of_what_is_over_or_never_was_claim_nothing(
    service: Service, catalog: FakeCatalog, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StaleHints, "look", nothing)
    (id_,) = started = await start_some(service, catalog, 1)
    assert await drained(service, 1) == started
    before = await service.everything()
    over = Hint("default", UUID(id_), "only", -1, "noop")
    stale = [over, over._replace(execution_id=UUID(int=1)), over._replace(task_id="no_such_task")]
    await service.orchestrator.queue.push([*stale, over._replace(namespace="team-a")])
    async with ScriptedWorker(service.workers, hello(), credits=10) as worker:
        following = await service.start()
        assert (await worker.lease()).task.execution_id == following.execution_id
        async with Redis.from_url(redis_url) as redis:
            await eventually(lambda: _has(redis, 1))  # that of another namespace, which nobody here serves
        assert worker.most_out == 1

    after = await service.everything()

    assert [row for row in after["executions"] if str(row["id"]) == id_] == before["executions"]
    assert [row for row in after["task_runs"] if str(row["execution_id"]) == id_] == before["task_runs"]


async def nothing(*_: Any) -> None:
    """Stands for a duty that does not run."""
