"""A stack with short time limits, workers in the process of the test, and faults of the whole stack."""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any

import asyncpg
import httpx
from embedded_stack.managed_service import ManagedService
from embedded_stack.services import ORCHESTRATOR
from embedded_stack.supervisor import Supervisor
from redis.asyncio import Redis
from testkit import eventually
from workflow_sdk import Client, Worker, task

QUEUE = "workflow:execution:queue"
QUEUE_TIMEOUT = timedelta(seconds=5)
"""How long a job may wait in the queue while the engine serves."""

PATIENCE_SECONDS = 60.0
"""How long a test waits for what must happen, on a slow machine that it shares."""

STOP_SECONDS = 15.0

Handler = Callable[[Any], Coroutine[Any, Any, Any]]


async def at_once(_: Any) -> dict[str, Any]:
    """Complete every task immediately."""
    return {}


class FaultyStack:
    """A running stack, a client of its gateway, and the faults that a test may provoke."""

    def __init__(self, supervisor: Supervisor, client: Client, database: asyncpg.Pool) -> None:
        self.client = client
        self.database = database
        self._supervisor = supervisor
        self._http = httpx.AsyncClient(trust_env=False, timeout=20)

    async def close(self) -> None:
        """Close the connection to the orchestrator's health."""
        await self._http.aclose()

    # -- work -----------------------------------------------------------------------------------

    async def publish(self, name: str, **fields: Any) -> None:
        """Publish a workflow with one task of a type with the same name. A worker offers the type once."""
        async with self.worker(name):
            pass
        only = {"id": "only", "type": name, "input": "${input}", **fields}
        await self.client.create_workflow(name, {"tasks": [only]})
        await self.client.publish_workflow(name)

    @asynccontextmanager
    async def worker(self, name: str, handler: Handler = at_once, slots: int = 100) -> AsyncIterator[Worker]:
        """Run a worker of one task type until the end of the context."""

        async def handle(input_: Any) -> Any:
            return await handler(input_)

        address = self._supervisor.plan.addresses["ORCHESTRATOR_ADDRESS"]
        worker = Worker(address, tasks=[task(name)(handle)], slots=slots, worker_id=name, grace=2.0)
        stop = asyncio.Event()
        running = asyncio.create_task(worker.run(stop))
        try:
            await eventually(lambda: worker.status.connected, timeout=PATIENCE_SECONDS)
            yield worker
        finally:
            stop.set()
            await running

    async def start(self, workflow_id: str, count: int, **input_: Any) -> list[str]:
        """Start executions at the same time; return their ids. Calls without an answer are repeated."""
        starts = (self.client.start(workflow_id, input_) for _ in range(count))
        return [each.execution_id for each in await asyncio.gather(*starts)]

    async def ends(self, ids: list[str]) -> set[str]:
        """Wait until the executions are final; return their statuses."""
        waits = (self.client.wait(id_, timeout=PATIENCE_SECONDS) for id_ in ids)
        return {str(each.status) for each in await asyncio.gather(*waits)}

    async def had_one_claim_each(self, ids: list[str]) -> None:
        """Raise AssertionError if a task was claimed a second time, because its worker lost it."""
        query = "SELECT execution_id, epoch FROM task_runs WHERE execution_id = ANY($1::text[]::uuid[])"
        rows = await self.database.fetch(query, ids)
        assert [row["epoch"] for row in rows] == [1] * len(ids)

    async def queue_length(self) -> int:
        """Return what `redis-cli LLEN workflow:execution:queue` prints."""
        async with Redis.from_url(self._supervisor.plan.stores.redis) as redis:
            return int(await redis.llen(QUEUE))

    async def waited_longer_than_the_queue_timeout(self, ids: list[str]) -> None:
        """Wait until the primary's clock says that every execution is older than QUEUE_TIMEOUT."""
        query = (
            "SELECT clock_timestamp() - max(create_time) > $2 FROM executions "
            "WHERE id = ANY($1::text[]::uuid[])"
        )

        async def reached() -> bool:
            return bool(await self.database.fetchval(query, ids, QUEUE_TIMEOUT))

        await eventually(reached, timeout=PATIENCE_SECONDS, interval=0.1)

    async def readiness(self) -> tuple[int, str]:
        """Return the status code and the summary of the orchestrator's /readyz."""
        port = self._supervisor.services[ORCHESTRATOR].spec.http_port
        answer = await self._http.get(f"http://127.0.0.1:{port}/readyz")
        return answer.status_code, str(answer.json()["status"])

    # -- faults ---------------------------------------------------------------------------------

    @asynccontextmanager
    async def without_orchestrator(self) -> AsyncIterator[None]:
        """Stop the orchestrator, and start it again at the end of the context."""
        service = self._supervisor.services[ORCHESTRATOR]
        await service.stop(STOP_SECONDS, asyncio.Event())
        try:
            yield
        finally:
            again = ManagedService(service.spec, self._supervisor.options.data, print)
            self._supervisor.services[ORCHESTRATOR] = again
            await again.ready()
            again.keep_running()

    @contextmanager
    def without_redis(self) -> Iterator[None]:
        """Kill Redis, and start it again at the end of the context."""
        servers = self._supervisor.servers
        assert servers is not None
        servers.kill_redis()
        try:
            yield
        finally:
            servers.start_redis()

    @contextmanager
    def frozen_primary(self) -> Iterator[None]:
        """Stop every process of the primary with SIGSTOP, and continue them at the end of the context."""
        servers = self._supervisor.servers
        assert servers is not None
        first = int((servers.primary.directory / "postmaster.pid").read_text().split()[0])
        os.kill(first, signal.SIGSTOP)  # before its children, so that it starts no further ones
        processes = [*_children(first), first]
        for pid in processes:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in processes:
                os.kill(pid, signal.SIGCONT)

    @asynccontextmanager
    async def locked_row(self, execution_id: str) -> AsyncIterator[None]:
        """Hold the lock of an execution's row until the end of the context, as a stuck session would."""
        async with self.database.acquire() as connection, connection.transaction():
            query = "SELECT id FROM executions WHERE id = $1 FOR UPDATE"
            assert await connection.fetchval(query, execution_id) is not None
            yield


def _children(pid: int) -> list[int]:
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, check=True, text=True
    ).stdout.splitlines()
    pairs = [line.split() for line in listed]
    found = [int(child) for child, parent in pairs if int(parent) == pid]
    assert found, f"process {pid} has no children: it is no server"
    return found
