"""Everything at once, for some seconds: every execution ends, once, and its history adds up."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any

import asyncpg
import grpc
import pytest
from redis.asyncio import Redis
from testkit import eventually
from workflowsystem.execution.v1 import execution_service_pb2 as pb

from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.conftest import Launch, Wire
from tests.integration.orchestrator.scripted_worker import ScriptedWorker, hello
from tests.integration.orchestrator.service import Service, start_request

POLICY = {"initial_interval": "0.01s", "maximum_attempts": 3, "maximum_lost_attempts": 50}
TASKS: list[dict[str, Any]] = [
    {"id": "first", "type": "noop", "retry_policy": POLICY, "input": "${input.text}"},
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
RETIRED: dict[str, Any] = {"id": "only", "type": "retired", "timeouts": {"schedule_to_start": "1s"}}

WAVE = 30
"""Executions that start before each fault."""
STEERED = 8
RETIRED_EXECUTIONS = 20
LARGE_BYTES = range(100_000, 500_000, 50_000)
LOCKS = 4
LOCKED_SECONDS = 1.0
SILENT_SECONDS = 2.0
PATIENCE_SECONDS = 60.0


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
            large = len(lease.input) >= LARGE_BYTES[0]
            await worker.succeed(lease, output=lease.input if large else lease.attempt)
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


class Storm:
    """Two orchestrators, the executions that were started, and the faults."""

    def __init__(self, services: list[Service], wire: Wire, redis_server: Any, seed: int) -> None:
        self.services = services
        self.ids: list[str] = []
        self._wire = wire
        self._redis_server = redis_server
        self._seed = seed
        self._running: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def unreliable_workers(self) -> AsyncIterator[None]:
        """Run four of them, two for each orchestrator; at the end, stop them and whatever else still runs."""
        self._running += [
            asyncio.create_task(
                unreliable_worker(
                    self.services[number % 2], f"worker-{number}", Random(self._seed * 10 + number)
                )
            )
            for number in range(4)
        ]
        try:
            yield
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    async def start_wave(self) -> None:
        """Start executions, each at both orchestrators with one request id, and begin to steer some."""
        first = len(self.ids)
        together = pb.BatchStartExecutionsRequest(
            requests=[_request(number) for number in range(first, first + WAVE)]
        )
        answers = await asyncio.gather(
            *(service.executions.BatchStartExecutions(together) for service in self.services)
        )
        ids = [result.execution.execution_id for result in answers[0].results]
        assert ids == [result.execution.execution_id for result in answers[1].results]
        self.ids += ids
        for place, service in enumerate(self.services):
            steering = steer(service, ids, Random(self._seed * 100 + first + place))
            self._running.append(asyncio.create_task(steering))

    async def wipes_and_breaks(self) -> None:
        """Wipe Redis, and break all connections to Postgres of one orchestrator, three times."""
        async with Redis.from_url(self._redis_server.url) as redis:
            for _ in range(3):
                await asyncio.sleep(0.3)
                await redis.flushall()
                await self._wire.cut()
                await asyncio.sleep(0.1)
                await self._wire.mend()

    async def silence(self) -> None:
        """Swallow what one orchestrator and Postgres say to each other, then break their connections."""
        before = self._wire.proxy.swallowed_bytes
        assert self._wire.proxy.swallow() > 0
        await asyncio.sleep(SILENT_SECONDS)
        assert self._wire.proxy.swallowed_bytes > before
        await self._wire.cut()
        await self._wire.mend()

    async def start_retired(self) -> None:
        """Start executions that fail after a second in the queue, because no worker offers their type."""
        requests = [start_request(workflow_id="retired") for _ in range(RETIRED_EXECUTIONS)]
        together = pb.BatchStartExecutionsRequest(requests=requests)
        results = (await self.services[0].executions.BatchStartExecutions(together)).results
        assert all(result.execution.execution_id for result in results)

    async def queue_is_empty(self) -> None:
        """Raise AssertionError if Redis has a hint, also if its execution has ended."""
        assert await self.services[0].queue_length() == 0

    async def redis_outage(self) -> None:
        """Keep Redis away until workers have done all their work and an unserved job has timed out."""
        await self.start_wave()
        self._redis_server.kill()
        retired = await self.services[0].start(workflow_id="retired")
        await self.start_wave()
        await eventually(self.all_served_are_final, timeout=PATIENCE_SECONDS, interval=0.1)
        await self.services[0].becomes(retired.execution_id, "FAILED", timeout=PATIENCE_SECONDS)
        self._redis_server.start()

    async def all_served_are_final(self) -> None:
        """Raise AssertionError if an execution is not final whose task type has workers."""
        query = "SELECT id, status FROM executions WHERE NOT final AND workflow_id = 'flow'"
        assert await self.services[0].rows(query) == []

    async def locks(self, database_url: str) -> None:
        """Hold the rows of an execution and of one of its tasks for a second, several times."""
        connection = await asyncpg.connect(database_url)
        try:
            for _ in range(LOCKS):
                await self.start_wave()
                async with connection.transaction():
                    query = "SELECT id FROM executions WHERE NOT final AND workflow_id = 'flow' "
                    id_ = await connection.fetchval(f"{query} LIMIT 1 FOR UPDATE")
                    assert id_ is not None, "every execution ended before the test could lock one"
                    query = "SELECT task_id FROM task_runs WHERE execution_id = $1 LIMIT 1 FOR UPDATE"
                    assert await connection.fetchval(query, id_) is not None
                    await asyncio.sleep(LOCKED_SECONDS)
        finally:
            await connection.close()


def _request(number: int) -> pb.StartExecutionRequest:
    size = LARGE_BYTES[number % len(LARGE_BYTES)] if number % 5 == 0 else 10
    input_ = {"items": list(range(number % 7)), "side": number % 2 == 0, "text": "x" * size}
    return start_request(input_, request_id=f"r{number}")


@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", [1, 2])
async def test_every_execution_ends_once_whatever_workers_users_and_servers_do(
    launch: Launch, catalog: FakeCatalog, wire: Wire, redis_server: Any, database_url: str, seed: int
) -> None:
    catalog.publish(*TASKS)
    catalog.publish(RETIRED, workflow_id="retired")
    services = [
        await launch(lease_ttl=1.0, pipeline_lanes=2),
        await launch(lease_ttl=1.0, database_url=wire.database_url),
    ]
    storm = Storm(services, wire, redis_server, seed)
    async with ScriptedWorker(services[0].workers, hello("retires", ["retired"])):
        pass
    async with storm.unreliable_workers():
        await storm.start_wave()
        await storm.wipes_and_breaks()
        await storm.start_wave()
        await storm.start_retired()
        await storm.silence()
        await storm.locks(database_url)
        await eventually(storm.queue_is_empty, timeout=PATIENCE_SECONDS, interval=0.1)
        await storm.redis_outage()  # which ends when all work is done

    await is_as_it_must_be(storm)


async def is_as_it_must_be(storm: Storm) -> None:
    """Every execution was stored once and has ended, and everything that the storm provokes happened."""
    service = storm.services[0]
    rows = await service.rows("SELECT workflow_id, status, count(*) FROM executions GROUP BY 1, 2")
    found = {(row[0], row[1]): row[2] for row in rows}
    retired = {key: found.pop(key) for key in list(found) if key[0] == "retired"}
    assert retired == {("retired", "FAILED"): RETIRED_EXECUTIONS + 1}
    assert sum(found.values()) == len(storm.ids)
    assert {status for _, status in found} == {"COMPLETED", "FAILED", "CANCELLED"}
    happened = {row["type"] for row in await service.rows("SELECT DISTINCT type FROM execution_events")}
    assert {"TASK_REQUEUED", "TASK_RETRY_SCHEDULED", "EXECUTION_RESUMED", "TASK_SKIPPED"} <= happened
    large = "SELECT count(*) FROM task_runs WHERE length(input::text) > $1 AND length(output::text) > $1"
    (row,) = await service.rows(large, LARGE_BYTES[0])
    assert row[0] > 0
