"""What can go wrong around a commit: each caller gets the result of its own work, exactly as it is stored."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from execution_orchestrator.application import batch as batch_module
from execution_orchestrator.application import lane as lane_module
from execution_orchestrator.application.ports import RequestId, StoreUnavailableError
from execution_orchestrator.application.work import (
    CommandWork,
    ExecutionLockedError,
    UndecidableError,
    WorkResult,
)
from execution_orchestrator.domain.commands import PauseExecution, ResumeExecution
from execution_orchestrator.domain.decision import Outcome
from service_kit.ids import new_uuid7
from testkit import eventually

from .engine import Engine, running_engine

ONE_TASK = {"tasks": [{"id": "only", "type": "noop"}]}
CHAIN = {"tasks": [{"id": "first", "type": "noop"}, {"id": "second", "type": "noop", "needs": ["first"]}]}


@pytest.fixture
async def engine(database_url: str, redis_url: str) -> AsyncIterator[Engine]:
    async with running_engine(database_url, redis_url) as engine:
        await engine.publish(ONE_TASK)
        await engine.publish(CHAIN, "chain")
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


def request_for(text: str) -> RequestId:
    return RequestId("default", text, b"hash", new_uuid7())


# -- locked rows ------------------------------------------------------------------------------------


async def test_a_locked_execution_delays_only_its_own_commands(engine: Engine, database_url: str) -> None:
    locked, other = (await engine.start()).execution.id, (await engine.start()).execution.id
    async with locked_row(database_url, "SELECT 1 FROM executions WHERE id = $1 FOR UPDATE", locked):
        waiting = asyncio.ensure_future(engine.command(locked, PauseExecution()))
        together = await asyncio.gather(engine.command(other, PauseExecution()), engine.start())
        assert [result.outcome for result in together] == [Outcome.APPLIED] * 2
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
    assert [result.outcome for result in results] == [Outcome.APPLIED] * 3


async def test_a_claim_of_a_locked_execution_gives_its_credit_back_at_once(
    engine: Engine, database_url: str
) -> None:
    id_ = (await engine.start()).execution.id
    async with locked_row(database_url, "SELECT 1 FROM executions WHERE id = $1 FOR UPDATE", id_):
        with pytest.raises(ExecutionLockedError):
            await engine.claim(id_, "only")
    assert await engine.claim(id_, "only") is not None


async def test_a_command_that_waited_too_long_for_a_lock_is_refused_and_may_be_repeated(
    engine: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_module, "MAX_LOCKED_SECONDS", 0.05)
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


# -- commits whose answers are lost -----------------------------------------------------------------


@asynccontextmanager
async def lost_answer(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """The next transaction is committed, and its connection breaks before the answer."""
    transaction = engine.store.transaction
    left = [1]

    @asynccontextmanager
    async def forgetful() -> AsyncIterator[Any]:
        async with transaction() as tx:
            yield tx
        if left[0]:
            left[0] -= 1
            raise StoreUnavailableError("the answer of the commit is lost")

    with monkeypatch.context() as patched:
        patched.setattr(engine.store, "transaction", forgetful)
        yield
        assert left[0] == 0


@asynccontextmanager
async def slow_server(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[[], Any]]:
    """The connection of the next transaction breaks, and the server commits it only when it is told to."""
    transaction = engine.store.transaction
    contexts: list[Any] = []

    @asynccontextmanager
    async def lingering() -> AsyncIterator[Any]:
        if contexts:
            async with transaction() as tx:
                yield tx
            return
        contexts.append(transaction())
        yield await contexts[0].__aenter__()
        raise StoreUnavailableError("the connection is lost, and the server goes on")

    async def commit() -> None:
        await contexts[0].__aexit__(None, None, None)

    with monkeypatch.context() as patched:
        patched.setattr(engine.store, "transaction", lingering)
        yield commit
        assert contexts


async def test_a_start_whose_answer_was_lost_is_told_and_queued_as_if_nothing_had_happened(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    rings: list[Any] = []
    engine.pipeline.on_commit.append(lambda _, those: rings.extend(those))
    async with lost_answer(engine, monkeypatch):
        result = await engine.start()
    assert result.outcome is Outcome.APPLIED
    assert result.token
    assert [ring.execution_id for ring in rings] == [result.execution.id]
    assert result.published is not None
    await result.published
    assert await engine.queue.length("default") == 1
    assert len(await engine.rows("SELECT 1 FROM executions")) == 1


async def test_a_start_whose_first_try_is_still_being_committed_is_accepted_once(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = request_for("once")
    async with slow_server(engine, monkeypatch) as commit:
        starting = asyncio.ensure_future(engine.start(request=request))
        waits = (
            "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        await eventually(lambda: _not_empty(engine.rows(waits)))
        await commit()
        result = await starting
    assert result.execution.id == request.execution_id
    assert len(await engine.rows("SELECT 1 FROM executions")) == 1
    assert await eventually(lambda: _not_empty(engine.queue.length("default")))


async def _not_empty(found: Any) -> Any:
    value = await found
    assert value
    return value


async def test_a_claim_whose_answer_was_lost_gives_its_lease(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = (await engine.start()).execution.id
    async with lost_answer(engine, monkeypatch):
        lease = await engine.claim(id_, "only")
    assert lease is not None
    assert (await engine.succeed(lease, 1)).execution.status == "COMPLETED"
    assert await engine.rows("SELECT status FROM attempts") == []


class Room:
    """A worker with room for every task."""

    worker_id = "worker"
    boot_id = "boot"

    def __init__(self) -> None:
        self.credits = 1
        self.leases: list[Any] = []

    def take(self, namespace: str, task_type: str, queue: str, reporter: Any) -> Any:
        if not self.credits:
            return None
        self.credits -= 1
        return self

    def give_back(self) -> None:
        self.credits += 1

    def deliver(self, lease: Any) -> None:
        self.leases.append(lease)


@pytest.mark.parametrize("is_start", [True, False])
async def test_a_task_that_was_claimed_in_a_commit_whose_answer_was_lost_reaches_its_worker(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, is_start: bool
) -> None:
    room = Room()
    engine.pipeline.offers = room
    if not is_start:
        await engine.start(workflow_id="chain")
        (first,) = room.leases
        room.credits = 1
    async with lost_answer(engine, monkeypatch):
        await (engine.start(workflow_id="chain") if is_start else engine.succeed(first, 1))
    lease = room.leases[-1]
    assert lease.key.task_id == ("first" if is_start else "second")
    assert room.credits == 0
    assert (await engine.succeed(lease, 1)).outcome is Outcome.APPLIED


async def test_a_transaction_that_did_not_happen_gives_its_credits_back_and_is_decided_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = Room()
    engine.pipeline.offers = room
    transaction = engine.store.transaction
    left = [1]

    @asynccontextmanager
    async def cut() -> AsyncIterator[Any]:
        async with transaction() as tx:
            yield tx
            if left[0]:
                left[0] -= 1
                raise StoreUnavailableError("cut before the commit")

    monkeypatch.setattr(engine.store, "transaction", cut)
    room.credits = 2
    await engine.start()
    assert len(room.leases) == 1
    assert room.credits == 1


# -- a batch and its members ------------------------------------------------------------------------


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

    engine.pipeline.on_commit.insert(0, failing)
    room = Room()
    engine.pipeline.offers = room
    assert (await engine.start()).outcome is Outcome.APPLIED
    assert len(room.leases) == 1


async def test_an_unforeseen_error_of_the_token_fails_no_caller(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing() -> str:
        raise asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress")

    monkeypatch.setattr(engine.store, "consistency_token", failing)
    result = await engine.start()
    assert (result.outcome, result.token) == (Outcome.APPLIED, "")


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
    room = engine.pipeline.offers = Room()
    room.credits = 10
    works = [await start_work(engine, "chain", json.dumps({"n": n})) for n in range(6)]
    works.insert(3, await start_work(engine, "chain", "this is no JSON"))
    results = await asyncio.gather(*map(lane.submit, works), return_exceptions=True)
    assert [isinstance(result, WorkResult) for result in results] == [n != 3 for n in range(7)]
    assert (len(room.leases), room.credits) == (6, 4)
    assert len(await engine.rows("SELECT 1 FROM executions")) == 6


async def start_work(engine: Engine, workflow_id: str, input_: str) -> Any:
    from execution_orchestrator.application.work import StartWork
    from execution_orchestrator.domain.commands import StartExecution

    plan = await engine.plans.get("default", workflow_id, 1)
    return StartWork(StartExecution(new_uuid7(), "default", workflow_id, 1, input_, {}), plan)


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
    assert {result.outcome for result in results} == {Outcome.APPLIED}
    assert sizes == [8, 4, 2, 2, 4, 2, 2]


# -- limits -----------------------------------------------------------------------------------------


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
    assert max(sizes) < 9_000_000
    assert sum(sizes) > 30_000_000


async def test_a_transaction_takes_starts_up_to_its_limit_of_rows(engine: Engine, sizes: list[int]) -> None:
    tasks = [{"id": f"t{n}", "type": "noop", "needs": [f"t{n - 1}"] if n else []} for n in range(300)]
    await engine.publish({"tasks": tasks}, "large")
    await asyncio.gather(*(engine.start(workflow_id="large") for _ in range(60)))
    assert max(sizes) <= 16 * 300
    assert sum(sizes) == 60 * 300


async def test_what_a_decision_turns_out_to_write_ends_a_batch_too(engine: Engine, sizes: list[int]) -> None:
    each = {"id": "each", "type": "noop", "for_each": {"items": "${input.items}"}}
    await engine.publish({"tasks": [each]}, "fan-out")
    items = {"items": list(range(1_500))}
    await asyncio.gather(*(engine.start(items, workflow_id="fan-out") for _ in range(12)))
    assert max(sizes) <= 3 * 1_501
    assert sum(sizes) == 12 * 1_501


# -- what the database lacks ------------------------------------------------------------------------


async def test_a_row_that_is_missing_stops_its_own_execution_and_no_other(engine: Engine) -> None:
    damaged = (await engine.start(workflow_id="chain")).execution.id
    lease = await engine.claim(damaged, "first")
    assert lease is not None
    await engine.rows("DELETE FROM task_runs WHERE task_id = 'second'")
    undecided: list[tuple[UUID, str]] = []
    engine.pipeline.on_undecidable.append(lambda id_, reason: undecided.append((id_, reason)))
    with pytest.raises(UndecidableError, match="task second"):
        await engine.succeed(lease, 1)
    assert [id_ for id_, _ in undecided] == [damaged]
    assert (await engine.start()).outcome is Outcome.APPLIED


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
