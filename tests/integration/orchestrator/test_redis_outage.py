"""Redis is away for long: work goes on, because Postgres knows what waits."""

import asyncio
from typing import Any

import grpc
from testkit import eventually

from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.conftest import Launch
from tests.integration.orchestrator.scripted_worker import ScriptedWorker, hello
from tests.integration.orchestrator.service import Service, without_a_safety_net

ONE_TASK: dict[str, Any] = {"id": "only", "type": "noop"}
SECOND: dict[str, Any] = {"id": "second", "type": "noop", "needs": ["only"]}
OTHER: dict[str, Any] = {"id": "only", "type": "other"}


async def work(worker: ScriptedWorker) -> None:
    """Complete every task that comes, until cancelled."""
    while True:
        await worker.succeed(await worker.waiting.get(), output={})


async def all_completed(service: Service, workflow_id: str, count: int) -> None:
    async def reached() -> None:
        rows = await service.rows(
            "SELECT status, count(*) FROM executions WHERE workflow_id = $1 GROUP BY 1", workflow_id
        )
        assert [tuple(row) for row in rows] == [("COMPLETED", count)]

    await eventually(reached, timeout=30)


async def test_what_was_queued_before_and_started_during_an_outage_completes_during_the_outage(
    launch: Launch, catalog: FakeCatalog, redis_server: Any
) -> None:
    service = await launch(queue_timeout=60.0)
    catalog.publish(ONE_TASK, SECOND)
    for _ in range(5):
        await service.start()
    redis_server.kill()
    async with ScriptedWorker(service.workers, hello(), credits=3) as worker:
        working = asyncio.create_task(work(worker))
        for _ in range(20):
            await service.start()
        await all_completed(service, "flow", 25)
        working.cancel()

    redis_server.start()


async def test_no_task_fails_for_want_of_redis_even_if_it_is_away_for_longer_than_the_queue_timeout(
    launch: Launch, catalog: FakeCatalog, redis_server: Any
) -> None:
    service = await launch(queue_timeout=5.0)
    catalog.publish(ONE_TASK)
    catalog.publish(OTHER, workflow_id="others")
    async with ScriptedWorker(service.workers, hello("gone", ["other"])):
        pass
    async with ScriptedWorker(service.workers, hello(), credits=2) as worker:
        redis_server.kill()
        abandoned = await service.start(workflow_id="others")
        working = asyncio.create_task(work(worker))
        started = 0

        async def timed_out() -> bool:
            nonlocal started
            await service.start()
            started += 1
            (row,) = await service.rows("SELECT status FROM executions WHERE workflow_id = 'others'")
            return bool(row[0] == "FAILED")

        await eventually(timed_out, timeout=30, interval=0.2)
        await all_completed(service, "flow", started)
        working.cancel()
    failed = await service.get(abandoned.execution_id)
    assert failed.failure.type == "ScheduleToStartTimeout"  # a whole queue timeout passed, as the test needs
    redis_server.start()


async def test_when_redis_is_back_the_queue_is_rebuilt_and_used(
    service: Service, catalog: FakeCatalog, redis_server: Any
) -> None:
    catalog.publish(ONE_TASK)
    async with (
        ScriptedWorker(service.workers, hello(), credits=1) as worker,
        ScriptedWorker(service.workers, hello("idle", ["other"]), credits=1),
    ):
        await service.start()
        lease = await worker.lease()
        redis_server.kill()
        waiting = {(await service.start()).execution_id for _ in range(3)}
        dispatcher = service.orchestrator.dispatcher
        await eventually(lambda: dispatcher._outage is not None, timeout=10)
        redis_server.start()
        await eventually(lambda: dispatcher._outage is None, timeout=10)

        async def rebuilt() -> None:
            try:
                length = await service.queue_length()
            except grpc.aio.AioRpcError as error:  # a connection that broke with the old server
                raise AssertionError(str(error)) from error
            assert length == 3

        await eventually(rebuilt, timeout=15)
        await worker.succeed(lease)
        await worker.grant(3)
        assert {each.task.execution_id for each in await worker.leases(3)} == waiting


@without_a_safety_net
async def test_two_replicas_without_redis_give_each_task_to_one_worker(
    launch: Launch, catalog: FakeCatalog, redis_server: Any
) -> None:
    one, two = await launch(), await launch()
    catalog.publish(ONE_TASK)
    for _ in range(40):
        await one.start()
    redis_server.kill()
    async with (
        ScriptedWorker(one.workers, hello("a"), credits=2) as a,
        ScriptedWorker(two.workers, hello("b"), credits=2) as b,
    ):
        working = [asyncio.create_task(work(worker)) for worker in (a, b)]
        await all_completed(one, "flow", 40)
        for task in working:
            task.cancel()
    rows = await one.rows("SELECT max(epoch) FROM task_runs")
    assert rows[0][0] == 1

    redis_server.start()
