"""Jobs that nobody can run: they are in nobody's way, and leave the queue when they are over."""

from typing import Any

from testkit import eventually
from workflowsystem.execution.v1 import execution_service_pb2 as pb

from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.conftest import Launch
from tests.integration.orchestrator.scripted_worker import ScriptedWorker, hello
from tests.integration.orchestrator.service import Service, start_request, without_a_safety_net

ONE_TASK: dict[str, Any] = {"id": "only", "type": "noop"}
GHOST: dict[str, Any] = {"id": "only", "type": "ghost"}


async def offered_once(service: Service, task_type: str) -> None:
    """A worker of this type comes and leaves, so that starts with the type are accepted."""
    async with ScriptedWorker(service.workers, hello("gone", [task_type])):
        pass


async def start_many(service: Service, count: int, workflow_id: str) -> None:
    for first in range(0, count, 50):
        requests = [start_request(None, workflow_id) for _ in range(min(50, count - first))]
        await service.executions.BatchStartExecutions(pb.BatchStartExecutionsRequest(requests=requests))


async def length_is(service: Service, length: int) -> None:
    async def reached() -> None:
        assert await service.queue_length() == length

    await eventually(reached, timeout=20)


@without_a_safety_net
async def test_jobs_of_a_type_without_a_worker_do_not_keep_other_jobs_from_their_workers(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(GHOST, workflow_id="ghosts")
    catalog.publish(ONE_TASK)
    await offered_once(service, "ghost")
    await start_many(service, 250, "ghosts")
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        first = await service.start()
        lease = await worker.lease()
        second = await service.start()  # no room at this moment: it goes into the queue
        await worker.succeed(lease)
        assert (await worker.lease()).task.execution_id == second.execution_id
    assert await service.queue_length() == 250
    del first


async def test_the_queue_is_empty_again_when_the_tasks_of_a_type_without_a_worker_have_failed(
    launch: Launch, catalog: FakeCatalog
) -> None:
    service = await launch(queue_timeout=1.0)
    catalog.publish(GHOST, workflow_id="ghosts")
    catalog.publish({**GHOST, "queue": "gpu"}, workflow_id="ghosts-on-gpu")
    await offered_once(service, "ghost")
    await start_many(service, 60, "ghosts")
    await start_many(service, 1, "ghosts-on-gpu")
    await length_is(service, 0)

    async def named_is_empty() -> None:
        assert await service.queue_length("gpu") == 0

    await eventually(named_is_empty, timeout=20)
    rows = await service.rows("SELECT status, count(*) FROM executions GROUP BY 1")
    assert [tuple(row) for row in rows] == [("FAILED", 61)]


async def test_a_job_that_is_paused_or_cancelled_leaves_the_queue_and_comes_back_when_it_is_resumed(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)
    paused, cancelled, waiting = [(await service.start()).execution_id for _ in range(3)]
    await service.pause(paused)
    await service.cancel(cancelled)
    await length_is(service, 1)
    await service.resume(paused)
    await length_is(service, 2)

    async with ScriptedWorker(service.workers, hello(), credits=3) as worker:
        leases = await worker.leases(2)

    assert {lease.task.execution_id for lease in leases} == {paused, waiting}


async def test_ten_thousand_cancelled_items_leave_the_queue_without_a_worker(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish({"id": "each", "type": "noop", "for_each": {"items": "${input.items}"}})
    started = await service.start({"items": list(range(10_000))})
    await length_is(service, 10_000)
    await service.cancel(started.execution_id)
    await length_is(service, 0)
