"""Sustained load: clients that start executions for some seconds, until the last of them is final."""

import asyncio
import time
from dataclasses import dataclass
from uuid import UUID

from workflowsystem.execution.v1 import execution_service_pb2

from benchmarks.client import Client, start_request
from benchmarks.figures import Figure, percentile
from benchmarks.stack import Stack

POLL_SECONDS = 0.02
DRAIN_TIMEOUT_SECONDS = 60.0

UNFINISHED = "SELECT EXISTS (SELECT FROM executions WHERE wake_time IS NOT NULL)"
"""An execution that is not final has a timer, its timeout. The index on it contains only these executions."""

OUTCOMES = (
    "SELECT e.id, e.status, extract(epoch FROM e.end_time)::float8 AS end_time "
    "FROM unnest($1::uuid[]) AS q(id) JOIN executions e ON e.id = q.id"
)


@dataclass(frozen=True, slots=True)
class Load:
    """How the clients start executions."""

    mode: str
    clients: int
    batch: int  # 1: StartExecution; more: BatchStartExecutions
    payload_bytes: int = 0
    seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class Sustained:
    """The result of a load."""

    executions: int
    per_second: float  # from the first start until the last execution is final
    start_p99_ms: float  # of the start call
    submit_to_final_p99_ms: float  # from the start call to the end_time of the orchestrator
    counters: dict[str, Figure]


class _Clients:
    """The clients of one load, and what they measured."""

    def __init__(self, client: Client, load: Load) -> None:
        self._client = client
        self._load = load
        self.call_seconds: list[float] = []
        self.submitted: dict[UUID, float] = {}

    async def run(self) -> None:
        deadline = time.perf_counter() + self._load.seconds
        await asyncio.gather(*(self._start_until(deadline) for _ in range(self._load.clients)))

    async def _start_until(self, deadline: float) -> None:
        request = start_request(self._load.payload_bytes)
        batch = [request] * self._load.batch
        while time.perf_counter() < deadline:
            wall, clock = time.time(), time.perf_counter()
            ids = await self._start(request, batch)
            self.call_seconds.append(time.perf_counter() - clock)
            self.submitted.update((UUID(id_), wall) for id_ in ids)

    async def _start(
        self,
        request: execution_service_pb2.StartExecutionRequest,
        batch: list[execution_service_pb2.StartExecutionRequest],
    ) -> list[str]:
        if self._load.batch == 1:
            return [await self._client.start(request)]
        return await self._client.start_batch(batch)


async def sustain(stack: Stack, client: Client, load: Load) -> Sustained:
    """Put the load on the stack and wait until everything is Completed.

    Raise RuntimeError if an execution is not Completed, or not in time.
    """
    before = await stack.probe.snapshot()
    clients = _Clients(client, load)
    begun = time.perf_counter()
    await clients.run()
    await _all_final(stack)
    elapsed = time.perf_counter() - begun
    after = await stack.probe.snapshot()
    executions = len(clients.submitted)
    return Sustained(
        executions=executions,
        per_second=executions / elapsed,
        start_p99_ms=percentile(clients.call_seconds, 99) * 1e3,
        submit_to_final_p99_ms=percentile(await _final_seconds(stack, clients.submitted), 99) * 1e3,
        counters=after.per_execution(before, executions),
    )


async def _all_final(stack: Stack) -> None:
    deadline = time.perf_counter() + DRAIN_TIMEOUT_SECONDS
    while await stack.database.fetchval(UNFINISHED):
        if time.perf_counter() > deadline:
            raise RuntimeError(f"executions are not final {DRAIN_TIMEOUT_SECONDS:g} s after the last start")
        await asyncio.sleep(POLL_SECONDS)


async def _final_seconds(stack: Stack, submitted: dict[UUID, float]) -> list[float]:
    """Return the seconds of each execution. Raise RuntimeError unless all are Completed."""
    rows = await stack.database.fetch(OUTCOMES, list(submitted))
    unfinished = [row["id"] for row in rows if row["status"] != "COMPLETED"]
    if unfinished or len(rows) != len(submitted):
        missing = len(submitted) - len(rows)
        raise RuntimeError(f"{len(unfinished)} executions are not Completed, and {missing} are lost")
    return [row["end_time"] - submitted[row["id"]] for row in rows]
