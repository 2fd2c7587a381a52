"""One member of a batch harms no other: each gets a result of its own, and a batch has limits."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from execution_orchestrator.application.engine import batch as batch_module
from execution_orchestrator.application.engine.weight import ROW_WEIGHT
from execution_orchestrator.application.engine.work import (
    CommandWork,
    UndecidableError,
    WorkResult,
)
from execution_orchestrator.domain.commands import PauseExecution, ResumeExecution
from execution_orchestrator.domain.decision import Effect
from execution_orchestrator.domain.limits import MAX_BATCH_WEIGHT

from tests.integration.orchestrator.committing import ONE_TASK, Room, prepared_engine, request_for, start_work
from tests.integration.orchestrator.engine import Engine


@pytest.fixture
async def engine(database_url: str, redis_url: str) -> AsyncIterator[Engine]:
    async with prepared_engine(database_url, redis_url) as engine:
        yield engine


async def test_a_committed_result_is_told_whatever_happens_to_a_later_part_of_the_batch(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = (await engine.start()).execution.id, (await engine.start()).execution.id
    transaction = engine.store.transaction
    count = [0]

    @asynccontextmanager
    async def second_fails() -> AsyncIterator[Any]:
        count[0] += 1
        if count[0] == 2:
            raise RuntimeError("an error that nobody foresaw")
        async with transaction() as tx:
            yield tx

    monkeypatch.setattr(engine.store, "transaction", second_fails)
    lane = engine.pipeline._lanes[0]
    works = [
        CommandWork(one, PauseExecution(), visible=True),
        CommandWork(one, ResumeExecution()),
        CommandWork(two, PauseExecution()),
    ]
    results = await asyncio.gather(*map(lane.submit, works), return_exceptions=True)
    assert [type(result) for result in results] == [WorkResult, RuntimeError, WorkResult]


async def test_a_listener_that_fails_takes_nothing_from_the_callers_of_the_commit(engine: Engine) -> None:
    def failing(*_: Any) -> None:
        raise KeyError("a defect of a listener")

    engine.listeners.append(failing)
    room = Room()
    engine.workers.room = room
    assert (await engine.start()).effect is Effect.APPLIED
    assert len(room.leases) == 1


async def test_an_unforeseen_error_of_the_token_fails_no_caller(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing() -> str:
        raise asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress")

    monkeypatch.setattr(engine.store, "consistency_token", failing)
    result = await engine.start()
    assert (result.effect, result.token) == (Effect.APPLIED, "")


async def test_a_start_that_fails_in_the_rules_gives_its_request_id_back(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, left = batch_module.start, [1]

    def defective(*arguments: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise KeyError("a defect")
        return real(*arguments)

    monkeypatch.setattr(batch_module, "start", defective)
    with pytest.raises(KeyError):
        await engine.start(request=request_for("once"))
    assert await engine.rows("SELECT 1 FROM request_ids") == []
    again = request_for("once")
    assert (await engine.start(request=again)).execution.id == again.execution_id


async def test_a_value_that_postgres_refuses_fails_only_its_own_command(engine: Engine) -> None:
    lane = engine.pipeline._lanes[0]
    room = engine.workers.room = Room()
    room.credits = 10
    works = [await start_work(engine, "chain", json.dumps({"n": n})) for n in range(6)]
    works.insert(3, await start_work(engine, "chain", "this is no JSON"))

    results = await asyncio.gather(*map(lane.submit, works), return_exceptions=True)

    assert [isinstance(result, WorkResult) for result in results] == [n != 3 for n in range(7)]
    assert (len(room.leases), room.credits) == (6, 4)
    assert len(await engine.rows("SELECT 1 FROM executions")) == 6


async def test_a_batch_that_is_too_slow_is_split_until_it_is_fast_enough(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    transaction = engine.store.transaction
    sizes: list[int] = []

    @asynccontextmanager
    async def slow_with_many() -> AsyncIterator[Any]:
        async with transaction() as tx:
            write = tx.write

            async def measured(changes: Any) -> Any:
                sizes.append(len(changes))
                if len(changes) > 2:
                    await tx._connection.execute("SET LOCAL statement_timeout = 1; SELECT pg_sleep(10)")
                return await write(changes)

            tx.write = measured
            yield tx

    monkeypatch.setattr(engine.store, "transaction", slow_with_many)
    lane = engine.pipeline._lanes[0]
    works = [await start_work(engine, "flow", "{}") for _ in range(8)]
    results = await asyncio.gather(*map(lane.submit, works))
    assert {result.effect for result in results} == {Effect.APPLIED}
    assert sizes == [8, 4, 2, 2, 4, 2, 2]


@pytest.fixture
def sizes(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many task runs and payload bytes each transaction writes."""
    written: list[int] = []
    transaction = engine.store.transaction

    @asynccontextmanager
    async def measured() -> AsyncIterator[Any]:
        async with transaction() as tx:
            write = tx.write

            async def counted(changes: Any) -> Any:
                tasks = [task for each in changes for task in each.tasks.values()]
                written.append(sum(len(task.output or "") for task in tasks) + len(tasks))
                return await write(changes)

            tx.write = counted
            yield tx

    monkeypatch.setattr(engine.store, "transaction", measured)
    return written


async def test_a_transaction_takes_results_up_to_its_limit_of_bytes(
    engine: Engine, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [(await engine.start()).execution.id for _ in range(30)]
    leases = [await engine.claim(id_, "only") for id_ in ids]
    sizes.clear()
    text = "x" * 1_000_000
    results = await asyncio.gather(*(engine.succeed(lease, text) for lease in leases if lease is not None))

    assert {result.execution.status for result in results} == {"COMPLETED"}
    assert max(sizes) < MAX_BATCH_WEIGHT + 2_000_000
    assert sum(sizes) > 30_000_000


async def test_a_transaction_takes_starts_up_to_its_limit_of_rows(engine: Engine, sizes: list[int]) -> None:
    tasks = [{"id": f"t{n}", "type": "noop", "needs": [f"t{n - 1}"] if n else []} for n in range(300)]
    await engine.publish({"tasks": tasks}, "large")
    await asyncio.gather(*(engine.start(workflow_id="large") for _ in range(60)))

    assert max(sizes) <= MAX_BATCH_WEIGHT // ROW_WEIGHT < 60 * 300
    assert sum(sizes) == 60 * 300


async def test_a_batch_ends_when_its_decisions_write_too_many_rows(engine: Engine, sizes: list[int]) -> None:
    each = {"id": "each", "type": "noop", "for_each": {"items": "${input.items}"}}
    await engine.publish({"tasks": [each]}, "fan-out")
    items = {"items": list(range(1_500))}
    await asyncio.gather(*(engine.start(items, workflow_id="fan-out") for _ in range(12)))

    assert max(sizes) <= MAX_BATCH_WEIGHT // ROW_WEIGHT < 12 * 1_501
    assert sum(sizes) == 12 * 1_501


async def test_a_row_that_is_missing_stops_its_own_execution_and_no_other(engine: Engine) -> None:
    damaged = (await engine.start(workflow_id="chain")).execution.id
    lease = await engine.claim(damaged, "first")
    assert lease is not None
    await engine.rows("DELETE FROM task_runs WHERE task_id = 'second'")
    undecided: dict[UUID, str] = {}

    engine.listeners.append(lambda committed: undecided.update(committed.undecided))

    with pytest.raises(UndecidableError, match="task second"):
        await engine.succeed(lease, 1)
    assert list(undecided) == [damaged]
    assert (await engine.start()).effect is Effect.APPLIED


async def test_more_versions_than_the_cache_holds_are_all_run(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = []
    for number in range(6):
        await engine.publish(ONE_TASK, f"flow-{number}")
        ids.append((await engine.start(workflow_id=f"flow-{number}")).execution.id)
    monkeypatch.setattr(engine.plans._plans, "max_entries", 1)
    lane = engine.pipeline._lanes[0]
    works = [CommandWork(id_, PauseExecution()) for id_ in ids]

    results = await asyncio.gather(*map(lane.submit, works))

    assert {result.execution.status for result in results} == {"PAUSED"}


async def test_no_lock_is_held_while_a_plan_is_loaded(
    engine: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = (await engine.start()).execution.id
    engine.plans._plans._entries.clear()
    connection = await asyncpg.connect(database_url)
    load = engine.store.load_definition
    seen = []

    async def looking(*key: Any) -> Any:
        seen.append(await connection.fetch("SELECT 1 FROM executions WHERE id = $1 FOR UPDATE NOWAIT", id_))
        return await load(*key)

    monkeypatch.setattr(engine.store, "load_definition", looking)
    assert (await engine.command(id_, PauseExecution())).execution.status == "PAUSED"
    assert len(seen) == 1
    await connection.close()
