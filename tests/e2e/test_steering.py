"""Pause, resume and cancel in the middle of the census."""

import asyncpg
import pytest
from embedded_stack.supervisor import Supervisor
from redis.asyncio import Redis
from testkit import eventually
from workflow_sdk import Event, ExecutionStatus

from tests.e2e.census import COMPLETED_SECONDS, PACKAGES, Census
from tests.e2e.test_disruptions import QUEUE, saw_everything_once
from tests.integration.orchestrator.checker import check_everything

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e"), pytest.mark.asyncio(loop_scope="session")]


async def test_a_paused_census_starts_nothing_and_goes_on_where_it_was(
    census: Census, database: asyncpg.Pool
) -> None:
    async with census.run() as run:
        await run.middle()
        paused = await census.client.pause(run.execution_id, reason="lunch")
        assert paused.status is ExecutionStatus.PAUSED
        await eventually(lambda: run.watcher.of_type("EXECUTION_QUIESCED"), timeout=COMPLETED_SECONDS)
        counted = len(run.counted)
        assert counted < PACKAGES, "nothing was left to be kept from starting"
        resumed = await census.client.resume(run.execution_id)
        assert resumed.status is ExecutionStatus.RUNNING
        execution = await run.final()

    assert (execution.status, execution.output) == (ExecutionStatus.COMPLETED, census.report)
    history = await run.history()
    while_paused = history[_place(history, "EXECUTION_PAUSED") : _place(history, "EXECUTION_RESUMED")]
    assert {event.type for event in while_paused} <= {
        "EXECUTION_PAUSED",
        "TASK_SUCCEEDED",
        "EXECUTION_QUIESCED",
    }
    await saw_everything_once(run)
    await check_everything(database)


async def test_a_cancelled_census_stops_and_leaves_nothing_in_the_queue(
    stack: Supervisor, census: Census, database: asyncpg.Pool
) -> None:
    async with census.run() as run:
        await run.middle()
        await census.client.cancel(run.execution_id, grace=5.0, reason="changed our mind")
        execution = await run.final()

    assert execution.status is ExecutionStatus.CANCELLED
    counts = execution.task_counts
    assert counts.succeeded > 0
    assert counts.cancelled > 0
    assert counts.running == 0
    history = await run.history()
    assert [event.type for event in history if event.final] == ["EXECUTION_CANCELLED"]
    assert not [
        event.type
        for event in history[_place(history, "CANCEL_REQUESTED") :]
        if event.type in ("TASK_STARTED", "TASK_REQUEUED")
    ]
    async with Redis.from_url(stack.plan.stores.redis) as redis:
        await eventually(lambda: _is_empty(redis), timeout=COMPLETED_SECONDS)
    await saw_everything_once(run)
    await check_everything(database)


def _place(history: list[Event], type_: str) -> int:
    return [event.type for event in history].index(type_)


async def _is_empty(redis: Redis) -> bool:
    return bool(await redis.llen(QUEUE) == 0)
