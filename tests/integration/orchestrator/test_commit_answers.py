"""A commit whose answer is lost: each caller gets the result of its own work, exactly as it is stored."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from execution_orchestrator.application.engine.work import CommandWork
from execution_orchestrator.application.ports.store import StoreUnavailableError
from execution_orchestrator.domain.commands import ReportTask, Succeeded
from execution_orchestrator.domain.decision import Effect
from testkit import eventually

from tests.integration.orchestrator.committing import Room, prepared_engine, request_for
from tests.integration.orchestrator.engine import Engine


@pytest.fixture
async def engine(database_url: str, redis_url: str) -> AsyncIterator[Engine]:
    async with prepared_engine(database_url, redis_url) as engine:
        yield engine


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
    engine.listeners.append(lambda committed: rings.extend(committed.rings))
    async with lost_answer(engine, monkeypatch):
        result = await engine.start()
    assert result.effect is Effect.APPLIED
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


@pytest.mark.parametrize("is_start", [True, False])
async def test_a_task_that_was_claimed_in_a_commit_whose_answer_was_lost_reaches_its_worker(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, is_start: bool
) -> None:
    room = Room()
    engine.workers.room = room
    if not is_start:
        await engine.start(workflow_id="chain")
        (first,) = room.leases
        room.credits = 1
    async with lost_answer(engine, monkeypatch):
        await (engine.start(workflow_id="chain") if is_start else engine.succeed(first, 1))
    lease = room.leases[-1]

    assert lease.key.task_id == ("first" if is_start else "second")
    assert room.credits == 0
    assert (await engine.succeed(lease, 1)).effect is Effect.APPLIED


async def test_a_transaction_that_did_not_happen_gives_its_credits_back_and_is_decided_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = Room()
    engine.workers.room = room
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


async def first_of_chain(engine: Engine, room: Room) -> CommandWork:
    """Start a chain. Return the report of its first task, by a worker that has room for the second."""
    engine.workers.room = room
    await engine.start(workflow_id="chain")
    (first,) = room.leases
    room.credits = 1
    command = ReportTask(first.key, first.epoch, Succeeded("1"), first.token)
    return CommandWork(first.execution_id, command, claimant=room)


async def test_a_reporter_gets_the_lease_that_follows_with_the_result_of_its_report(engine: Engine) -> None:
    room = Room()
    report = await first_of_chain(engine, room)

    result = await engine.pipeline.submit(report)

    assert [lease.key.task_id for lease in result.next_leases] == ["second"]
    assert [lease.key.task_id for lease in room.leases] == ["first"]
    assert room.credits == 0


async def test_a_lease_is_delivered_although_nobody_waits_for_the_report_any_more(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = Room()
    report = await first_of_chain(engine, room)
    transaction = engine.store.transaction
    decided, goes_on = asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def held() -> AsyncIterator[Any]:
        async with transaction() as tx:
            yield tx
            decided.set()
            await goes_on.wait()

    monkeypatch.setattr(engine.store, "transaction", held)
    reporting = engine.pipeline.submit(report)
    await decided.wait()
    reporting.cancel()
    goes_on.set()

    await eventually(lambda: [lease.key.task_id for lease in room.leases] == ["first", "second"])
    assert room.credits == 0
