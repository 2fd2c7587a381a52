"""A row that another transaction has locked delays its own execution only."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from execution_orchestrator.application.engine.work import (
    ExecutionLockedError,
)
from execution_orchestrator.domain.commands import PauseExecution, ResumeExecution
from execution_orchestrator.domain.decision import Effect
from service_kit.tools.ids import new_uuid7
from testkit import eventually

from tests.integration.orchestrator.committing import prepared_engine
from tests.integration.orchestrator.engine import Engine


@pytest.fixture
async def engine(database_url: str, redis_url: str) -> AsyncIterator[Engine]:
    async with prepared_engine(database_url, redis_url) as engine:
        yield engine


@asynccontextmanager
async def locked_row(database_url: str, statement: str, *arguments: Any) -> AsyncIterator[None]:
    """Another client holds rows in a transaction of its own, as an operator does with psql."""
    connection = await asyncpg.connect(database_url)
    try:
        async with connection.transaction():
            await connection.fetch(statement, *arguments)
            yield
    finally:
        await connection.close()


async def test_a_locked_execution_delays_only_its_own_commands(engine: Engine, database_url: str) -> None:
    locked, other = (await engine.start()).execution.id, (await engine.start()).execution.id
    async with locked_row(database_url, "SELECT 1 FROM executions WHERE id = $1 FOR UPDATE", locked):
        waiting = asyncio.ensure_future(engine.command(locked, PauseExecution()))
        together = await asyncio.gather(engine.command(other, PauseExecution()), engine.start())
        assert [result.effect for result in together] == [Effect.APPLIED] * 2
        assert not waiting.done()

    assert (await waiting).execution.status == "PAUSED"


async def test_the_lock_of_an_execution_is_never_waited_for(engine: Engine, database_url: str) -> None:
    locked, free = (await engine.start()).execution.id, (await engine.start()).execution.id
    held = locked_row(database_url, "SELECT 1 FROM executions WHERE id = $1 FOR UPDATE", locked)
    async with held, asyncio.timeout(30), engine.store.transaction() as tx:
        await tx.lock_executions([])
        await tx._connection.execute("SET LOCAL lock_timeout = 0")

        assert [each.id for each in await tx.lock_executions(sorted([locked, free]))] == [free]
        assert await tx.existing_ids([locked, new_uuid7()]) == {locked}


async def test_commands_to_a_locked_execution_keep_their_order(engine: Engine, database_url: str) -> None:
    id_ = (await engine.start()).execution.id
    async with locked_row(database_url, "SELECT 1 FROM executions WHERE id = $1 FOR UPDATE", id_):
        first = asyncio.ensure_future(engine.command(id_, PauseExecution()))
        await eventually(lambda: bool(engine.pipeline._lanes[0]._parked or engine.pipeline._lanes[1]._parked))
        second = asyncio.ensure_future(engine.command(id_, ResumeExecution()))
        third = asyncio.ensure_future(engine.command(id_, PauseExecution()))
        await asyncio.sleep(0)

    results = await asyncio.gather(first, second, third)

    assert [result.execution.status for result in results] == ["PAUSED", "PENDING", "PAUSED"]
    assert [result.effect for result in results] == [Effect.APPLIED] * 3


async def test_a_claim_of_a_locked_execution_gives_its_credit_back_at_once(
    engine: Engine, database_url: str
) -> None:
    id_ = (await engine.start()).execution.id
    async with locked_row(database_url, "SELECT 1 FROM executions WHERE id = $1 FOR UPDATE", id_):
        with pytest.raises(ExecutionLockedError):
            await engine.claim(id_, "only")

    assert await engine.claim(id_, "only") is not None


async def test_a_command_that_waited_too_long_for_a_lock_is_refused_and_may_be_repeated(
    database_url: str, redis_url: str
) -> None:
    async with prepared_engine(database_url, redis_url, max_locked_seconds=0.05) as engine:
        id_ = (await engine.start()).execution.id
        async with locked_row(database_url, "SELECT 1 FROM executions WHERE id = $1 FOR UPDATE", id_):
            with pytest.raises(ExecutionLockedError):
                await engine.command(id_, PauseExecution())

        assert (await engine.command(id_, PauseExecution())).execution.status == "PAUSED"


async def test_a_locked_task_run_delays_only_its_own_execution(engine: Engine, database_url: str) -> None:
    locked = (await engine.start()).execution.id
    others = [(await engine.start()).execution.id for _ in range(5)]
    lease = await engine.claim(locked, "only")
    leases = [await engine.claim(other, "only") for other in others]
    assert lease is not None
    statement = "SELECT 1 FROM task_runs WHERE execution_id = $1 FOR UPDATE"

    async with locked_row(database_url, statement, locked):
        held = asyncio.ensure_future(engine.succeed(lease, 1))
        results = await asyncio.gather(*(engine.succeed(each, 1) for each in leases if each is not None))
        assert {result.execution.status for result in results} == {"COMPLETED"}
        assert not held.done()

    assert (await held).execution.status == "COMPLETED"


async def test_work_that_waits_for_a_lock_is_refused_when_the_pipeline_closes(
    engine: Engine, database_url: str
) -> None:
    id_ = (await engine.start()).execution.id
    async with locked_row(database_url, "SELECT 1 FROM executions WHERE id = $1 FOR UPDATE", id_):
        waiting = asyncio.ensure_future(engine.command(id_, PauseExecution()))
        await eventually(lambda: bool(engine.pipeline._lanes[0]._parked or engine.pipeline._lanes[1]._parked))
        await engine.pipeline.close()

        with pytest.raises(Exception, match="shutting down"):
            await waiting
