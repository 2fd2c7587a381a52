"""Everything at once, for some seconds: every execution ends, once, and its history adds up."""

import asyncio
import json
from collections.abc import Coroutine
from contextlib import suppress
from random import Random
from typing import Any

import grpc
import pytest
from redis.asyncio import Redis
from testkit import eventually
from workflow.execution.v1 import execution_service_pb2 as pb

from tests.integration.orchestrator.conftest import Launch, Wire
from tests.integration.orchestrator.fake_catalog import FakeCatalog
from tests.integration.orchestrator.scripted_worker import ScriptedWorker, hello
from tests.integration.orchestrator.service import Service

POLICY = {"initial_interval": "0.01s", "maximum_attempts": 3, "maximum_lost_attempts": 50}
TASKS: list[dict[str, Any]] = [
    {"id": "first", "type": "noop", "retry_policy": POLICY},
    {
        "id": "each",
        "type": "noop",
        "needs": ["first"],
        "retry_policy": POLICY,
        "for_each": {"items": "${input.items}", "max_parallel": 3},
    },
    {"id": "side", "type": "noop", "needs": ["first"], "when": "${input.side}", "retry_policy": POLICY},
    {"id": "last", "type": "noop", "needs": ["each", "side"], "retry_policy": POLICY},
]
EXECUTIONS = 60
STEERED = 15


async def unreliable_worker(service: Service, name: str, chance: Random) -> None:
    """Until cancelled: mostly succeeds; fails, forgets, repeats itself, hands back and hangs up at times."""
    number = 0
    while True:
        number += 1
        greeting = hello(f"{name}-{number}")
        with suppress(grpc.aio.AioRpcError, AssertionError):
            async with ScriptedWorker(service.workers, greeting, credits=8) as worker:
                for _ in range(chance.randrange(10, 60)):
                    await _answer(worker, chance)
                await worker.grant(chance.randrange(1, 4))


async def _answer(worker: ScriptedWorker, chance: Random) -> None:
    lease = await worker.lease()
    match chance.choices(("succeed", "fail", "forget", "repeat", "bad"), (80, 8, 3, 6, 3))[0]:
        case "succeed":
            await worker.succeed(lease, output=lease.attempt)
        case "fail":
            await worker.fail(lease)
        case "forget":
            await worker.grant(1)  # the handler ended without a result
        case "repeat":
            await worker.succeed(lease, lease, output=json.loads(lease.input))
        case "bad":
            await worker.succeed(lease, output=b"{")


async def steer(service: Service, ids: list[str], chance: Random) -> None:
    for id_ in chance.sample(ids, STEERED):
        with suppress(grpc.aio.AioRpcError):  # it may be over already
            await service.pause(id_)
            await asyncio.sleep(chance.uniform(0, 0.05))
            await service.resume(id_)
        if chance.random() < 0.4:
            with suppress(grpc.aio.AioRpcError):
                await service.cancel(id_, grace_seconds=chance.choice((0, 0.1, 1)))


@pytest.mark.parametrize("seed", [1, 2])
async def test_every_execution_ends_once_whatever_workers_users_and_servers_do(
    launch: Launch, catalog: FakeCatalog, wire: Wire, redis_url: str, seed: int
) -> None:
    catalog.publish(*TASKS)
    services = [
        await launch(lease_ttl=1.0, pipeline_lanes=2),
        await launch(lease_ttl=1.0, database_url=wire.database_url),
    ]
    requests = []
    for number in range(EXECUTIONS):
        request = pb.StartExecutionRequest(workflow_id="flow", request_id=f"r{number}")
        request.input.update({"items": list(range(number % 7)), "side": number % 2 == 0})
        requests.append(request)
    together = pb.BatchStartExecutionsRequest(requests=requests)
    answers = await asyncio.gather(
        *(service.executions.BatchStartExecutions(together) for service in services)
    )
    ids = [result.execution.execution_id for result in answers[0].results]
    assert ids == [result.execution.execution_id for result in answers[1].results]

    storm: list[Coroutine[Any, Any, None]] = [
        unreliable_worker(services[number % 2], f"worker-{number}", Random(seed * 10 + number))
        for number in range(4)
    ]
    storm += [steer(service, ids, Random(seed * 100 + place)) for place, service in enumerate(services)]
    running = [asyncio.create_task(each) for each in storm]
    async with Redis.from_url(redis_url) as redis:
        for _ in range(3):
            await asyncio.sleep(0.3)
            await redis.flushall()
            await wire.cut()
            await asyncio.sleep(0.1)
            await wire.mend()

    async def all_final() -> None:
        left = await services[0].rows("SELECT id, status FROM executions WHERE NOT final")
        assert left == []

    await eventually(all_final, timeout=30, interval=0.1)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    statuses = await services[0].rows("SELECT status, count(*) AS n FROM executions GROUP BY 1")
    found = {row["status"]: row["n"] for row in statuses}
    assert sum(found.values()) == EXECUTIONS
    assert {"COMPLETED", "FAILED", "CANCELLED"} <= set(found)
    happened = {row["type"] for row in await services[0].rows("SELECT DISTINCT type FROM execution_events")}
    assert {"TASK_REQUEUED", "TASK_RETRY_SCHEDULED", "EXECUTION_RESUMED", "TASK_SKIPPED"} <= happened
