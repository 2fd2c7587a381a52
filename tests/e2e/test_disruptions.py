"""The census comes to the same report, whatever dies in the middle of it."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from embedded_stack.supervisor import Supervisor
from redis.asyncio import Redis
from testkit import eventually
from workflow_sdk import ExecutionStatus

from tests.e2e.census import COMPLETED_SECONDS, Census, Run
from tests.integration.orchestrator.checker import check_everything

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e"), pytest.mark.asyncio(loop_scope="session")]

QUEUE = "workflow:execution:queue"

Disruption = Callable[[Supervisor], Awaitable[None]]


async def a_worker_is_killed(stack: Supervisor) -> None:
    await _killed(stack, "worker-1")


async def the_orchestrator_is_killed(stack: Supervisor) -> None:
    await _killed(stack, "orchestrator")


async def the_gateway_is_killed(stack: Supervisor) -> None:
    await _killed(stack, "gateway")


async def the_catalog_is_killed(stack: Supervisor) -> None:
    await _killed(stack, "catalog")


async def the_primary_is_killed(stack: Supervisor) -> None:
    assert stack.servers is not None
    stack.servers.kill_primary()
    stack.servers.start_primary()


async def the_replica_is_killed(stack: Supervisor) -> None:
    assert stack.servers is not None
    stack.servers.kill_replica()
    stack.servers.start_replica()


async def redis_is_killed(stack: Supervisor) -> None:
    assert stack.servers is not None
    stack.servers.kill_redis()
    stack.servers.start_redis()


async def redis_is_wiped(stack: Supervisor) -> None:
    async with Redis.from_url(stack.plan.stores.redis) as redis:
        assert await redis.llen(QUEUE) > 0, "nothing waited in Redis: the wipe would prove nothing"
        await redis.flushall()


async def _killed(stack: Supervisor, name: str) -> None:
    service = stack.services[name]
    before = service.pid
    service.kill()
    await eventually(lambda: service.pid != before, timeout=COMPLETED_SECONDS)


async def _killed_with_a_task(
    stack: Supervisor, name: str, database: asyncpg.Pool, execution_id: str
) -> None:
    """Let the worker stand still until it surely holds a task: from one task to the next it holds none."""
    service = stack.services[name]

    async def stands_still_with_a_task() -> bool:
        os.kill(service.pid, signal.SIGSTOP)
        query = (
            "SELECT count(*) FROM task_runs WHERE execution_id = $1 AND worker_id = $2 AND status = 'RUNNING'"
        )
        held = 0
        for _ in range(2):  # a result that it has sent before may still arrive
            await asyncio.sleep(0.2)
            held = await database.fetchval(query, execution_id, name)
        if not held:
            os.kill(service.pid, signal.SIGCONT)
        return held > 0

    await eventually(stands_still_with_a_task, timeout=COMPLETED_SECONDS, interval=0.03)
    service.kill()


@pytest.mark.parametrize(
    "disruption",
    [
        a_worker_is_killed,
        the_orchestrator_is_killed,
        the_gateway_is_killed,
        the_catalog_is_killed,
        the_primary_is_killed,
        the_replica_is_killed,
        redis_is_killed,
        redis_is_wiped,
    ],
    ids=lambda disruption: disruption.__name__,
)
async def test_the_census_completes_with_the_same_report_when(
    disruption: Disruption, stack: Supervisor, census: Census, database: asyncpg.Pool
) -> None:
    async with census.run() as run:
        await run.middle()
        await disruption(stack)
        execution = await run.final()

    assert (execution.status, execution.output) == (ExecutionStatus.COMPLETED, census.report)
    await saw_everything_once(run)
    await check_everything(database)


async def test_a_killed_workers_tasks_are_done_by_others(
    stack: Supervisor, census: Census, database: asyncpg.Pool
) -> None:
    """The worker had leases, and each of them was lost and counted again."""
    async with census.run() as run:
        await run.middle()
        await _killed_with_a_task(stack, "worker-2", database, run.execution_id)
        execution = await run.final()

    lost = await database.fetchval(
        "SELECT count(*) FROM attempts WHERE execution_id = $1 AND status = 'LOST'", run.execution_id
    )
    assert lost > 0, "the worker died with nothing in its hands: the kill proved nothing"
    assert execution.output == census.report


async def test_the_census_goes_on_while_redis_is_away(
    stack: Supervisor, census: Census, database: asyncpg.Pool
) -> None:
    servers = stack.servers
    assert servers is not None
    async with census.run() as run:
        await run.middle()
        servers.kill_redis()
        execution = await run.final()
        servers.start_redis()

    assert execution.output == census.report
    await saw_everything_once(run)
    await check_everything(database)


async def saw_everything_once(run: Run) -> None:
    """The watcher was told of every event that is stored, once and in order."""
    stored = [event.sequence for event in await run.history()]
    assert stored == list(range(1, len(stored) + 1))
    assert run.watcher.sequences == stored[run.watcher.after :]
    last: Any = run.watcher.events[-1]
    assert last.final
