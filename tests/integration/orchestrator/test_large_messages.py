"""Leases that are too large for one message together: none is lost, and none is charged."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from testkit import eventually
from workflow_sdk import Worker, task
from workflowsystem.worker.v1 import worker_service_pb2 as pb

from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.conftest import Launch
from tests.integration.orchestrator.scripted_worker import ScriptedWorker, hello
from tests.integration.orchestrator.service import Service

MAX_MESSAGE_BYTES = 2 * 1024 * 1024
LEAST_MESSAGE_BYTES = 1536 * 1024
STRICT = {"maximum_attempts": 1, "maximum_lost_attempts": 0}
ONE_TASK: dict[str, Any] = {"id": "only", "type": "noop", "input": "${input}", "retry_policy": STRICT}


@task("noop")
async def noop(_: Any) -> None:
    return None


@asynccontextmanager
async def sdk_worker(service: Service) -> AsyncIterator[Worker]:
    stop = asyncio.Event()
    worker = Worker(f"127.0.0.1:{service.grpc_port}", tasks=[noop], grace=0.0)
    running = asyncio.create_task(worker.run(stop))
    try:
        yield worker
    finally:
        stop.set()
        await running


async def statuses(service: Service) -> Counter[str]:
    rows = await service.rows("SELECT status FROM executions")
    return Counter(row["status"] for row in rows)


async def test_large_executions_that_wait_together_all_complete_at_the_first_attempt(
    launch: Launch, catalog: FakeCatalog
) -> None:
    """5.4 MB of inputs for one worker with room for all; a lost lease would fail its execution."""
    service = await launch()
    catalog.publish(ONE_TASK)
    for _ in range(90):
        await service.start({"text": "x" * 60_000})
    async with sdk_worker(service):

        async def completed() -> None:
            assert await statuses(service) == {"COMPLETED": 90}

        await eventually(completed, 60)
    assert [row["attempt"] for row in await service.rows("SELECT DISTINCT attempt FROM task_runs")] == [1]


async def test_a_fan_out_with_large_items_completes_at_the_first_attempt(
    launch: Launch, catalog: FakeCatalog
) -> None:
    """30 items of 700 KB."""
    service = await launch()
    each = {
        "id": "each",
        "type": "noop",
        "retry_policy": STRICT,
        "for_each": {"items": "${input.items}"},
        "input": "${input.document}",
    }
    catalog.publish(each)
    async with sdk_worker(service):
        started = await service.start({"items": list(range(30)), "document": "x" * 700_000})
        await service.becomes(started.execution_id, "COMPLETED", timeout=60)

    rows = await service.rows("SELECT DISTINCT attempt FROM task_runs WHERE item >= 0")

    assert [row["attempt"] for row in rows] == [1]


def able_to_receive(maximum_message_bytes: int) -> pb.Hello:
    greeting = hello("small")
    greeting.maximum_message_bytes = maximum_message_bytes
    return greeting


@pytest.mark.parametrize(
    ("said", "limit"),
    [(0, MAX_MESSAGE_BYTES), (64 * 1024 * 1024, MAX_MESSAGE_BYTES), (LEAST_MESSAGE_BYTES,) * 2],
)
async def test_no_message_of_a_session_is_larger_than_the_limit(
    service: Service, catalog: FakeCatalog, said: int, limit: int
) -> None:
    """0: the worker does not say what it can receive."""
    catalog.publish(ONE_TASK)
    for _ in range(40):
        await service.start({"text": "x" * 200_000})

    async with ScriptedWorker(service.workers, able_to_receive(said), credits=40) as worker:
        assert worker.welcome is not None
        assert worker.welcome.maximum_message_bytes == 4 * 1024 * 1024
        leases = await worker.leases(40)
        await worker.succeed(*leases)
        for lease in leases:
            assert await worker.ack(lease) == "RECORDED"
        largest = max(message.ByteSize() for message in worker.messages)

        assert limit - 250_000 < largest <= limit


@pytest.mark.parametrize(("said", "limit"), [(0, MAX_MESSAGE_BYTES), (LEAST_MESSAGE_BYTES,) * 2])
async def test_a_unary_call_gives_what_fits_and_the_rest_is_ready_at_once(
    service: Service, catalog: FakeCatalog, said: int, limit: int
) -> None:
    catalog.publish(ONE_TASK)
    for _ in range(100):
        await service.start({"text": "x" * 60_000})
    request = pb.LeaseTasksRequest(worker=able_to_receive(said), max_tasks=100, wait=Duration(seconds=5))
    response = await service.workers.LeaseTasks(request)
    assert 1 <= len(response.leases) < 100
    assert response.ByteSize() <= limit

    async def ready() -> None:
        (row,) = await service.rows("SELECT count(*) AS n FROM task_runs WHERE status = 'READY'")
        assert row["n"] == 100 - len(response.leases)

    await eventually(ready)
    assert await service.rows("SELECT 1 FROM task_runs WHERE lost_attempts > 0 OR failed_attempts > 0") == []
