"""B1: one no-op execution at a time: the time until it is accepted, until it starts, and until its result."""

import time
from datetime import datetime
from typing import Any, NamedTuple

from benchmarks.client import Client, start_request
from benchmarks.figures import spread_ms
from benchmarks.registry import Context, Result
from benchmarks.stack import Stack

EXECUTIONS = 2_000
EXECUTIONS_QUICK = 200
WARM_UP = 100
PAYLOAD_BYTES = 0


class Timings(NamedTuple):
    """Seconds from the call of StartExecution."""

    accepted: float  # the reply has come: it is committed
    started: float  # by the start_time of the orchestrator, which runs on the same machine
    result: float  # the reply of WaitExecution has come


async def run(stack: Stack, context: Context) -> Result:
    """Measure on the orchestrator's own port, and then the same through the gateway."""
    count = EXECUTIONS_QUICK if context.quick else EXECUTIONS
    context.say(f"B1: {count:,} executions one at a time, to the orchestrator and through the gateway")
    direct, counters = await _measure(stack, stack.orchestrator, count)
    through_gateway, _ = await _measure(stack, stack.gateway, count)
    figures = {**_figures(direct), "through_gateway": _figures(through_gateway), "executions": count}
    return Result(figures, {"B1": counters})


async def _measure(stack: Stack, address: str, count: int) -> tuple[list[Timings], dict[str, Any]]:
    async with Client(address, connections=1) as client:
        for _ in range(WARM_UP):
            await _one(client)
        before = await stack.probe.snapshot()
        timings = [await _one(client) for _ in range(count)]
        after = await stack.probe.snapshot()
    return timings, after.per_execution(before, count)


async def _one(client: Client) -> Timings:
    request = start_request(PAYLOAD_BYTES)
    wall, clock = time.time(), time.perf_counter()
    execution_id = await client.start(request)
    accepted = time.perf_counter() - clock
    execution = await client.wait(execution_id)
    result = time.perf_counter() - clock
    started: datetime = execution.start_time.ToDatetime()
    return Timings(accepted, _since(wall, started), result)


def _since(wall: float, moment: datetime) -> float:
    return (moment - datetime(1970, 1, 1)).total_seconds() - wall


def _figures(timings: list[Timings]) -> dict[str, Any]:
    return {
        f"submit_to_{name}_ms": spread_ms([getattr(each, name) for each in timings])
        for name in ("result", "accepted", "started")
    }
