"""The catalog, Postgres or Redis is gone: callers are told so and may repeat, and nothing is lost."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import grpc
import pytest
import structlog
from execution_orchestrator.application.engine import batch
from execution_orchestrator.application.engine.work import CommandWork, UndecidableError, WorkResult
from execution_orchestrator.application.ports.store import StoreUnavailableError
from execution_orchestrator.domain.commands import ClaimTask, Command, PauseExecution
from execution_orchestrator.domain.decide import decide
from execution_orchestrator.domain.decision import Snapshot
from execution_orchestrator.domain.task import TaskKey
from execution_orchestrator.tuning import Tuning
from testkit import eventually
from workflowsystem.execution.v1 import execution_service_pb2 as pb
from workflowsystem.worker.v1 import worker_service_pb2 as worker_pb

from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.conftest import Launch, Wire
from tests.integration.orchestrator.scripted_worker import ScriptedWorker, hello
from tests.integration.orchestrator.service import Service, refusal, start_request, status_of, tuned

ONE_TASK: dict[str, Any] = {"id": "only", "type": "noop"}
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE"


@pytest.fixture
async def behind_wire(launch: Launch, wire: Wire) -> Service:
    """An orchestrator that gives up soon on a Postgres that does not answer."""
    return await launch(database_url=wire.database_url, tuning=Tuning(commit_tries=3))


@tuned(catalog_timeout_seconds=0.3)
async def test_a_catalog_that_does_not_answer_starts_nothing_and_the_rest_goes_on(
    service: Service,
    catalog: FakeCatalog,
    catalog_server: tuple[grpc.aio.Server, str],
) -> None:
    catalog.publish(ONE_TASK)
    running = (await service.start(request_id="once")).execution_id
    await catalog_server[0].stop(None)
    before = await service.everything()
    error = await refusal(service.start())
    assert (error.code, error.reason) == UNAVAILABLE
    assert error.metadata == {"dependency": "catalog"}
    assert "try again" in error.message
    request = pb.BatchStartExecutionsRequest(requests=[start_request(), start_request()])
    response = await service.executions.BatchStartExecutions(request)
    assert [result.error.code for result in response.results] == [UNAVAILABLE[0].value[0]] * 2
    assert await service.everything() == before
    assert (await service.start(request_id="once")).execution_id == running

    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        await worker.succeed(await worker.lease())
        await service.becomes(running, "COMPLETED")


async def test_without_postgres_every_call_is_unavailable_and_all_goes_on_when_it_is_back(
    behind_wire: Service, catalog: FakeCatalog, wire: Wire
) -> None:
    service = behind_wire
    catalog.publish(ONE_TASK)
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        id_ = (await service.start()).execution_id
        lease = await worker.lease()
        before = await service.everything()
        await wire.cut()
        calls = [
            service.start(),
            service.get(id_),
            service.pause(id_),
            service.events(id_),
            service.executions.ListExecutions(pb.ListExecutionsRequest()),
            service.executions.WaitExecution(pb.WaitExecutionRequest(execution_id=id_)),
            service.workers.LeaseTasks(worker_pb.LeaseTasksRequest(worker=hello(types=["new"]), max_tasks=1)),
            service.workers.HeartbeatTasks(
                worker_pb.HeartbeatTasksRequest(heartbeats=[{"task": lease.task}])
            ),
            service.workers.ReportTasks(
                worker_pb.ReportTasksRequest(results=[{"task": lease.task, "output": b"1"}])
            ),
        ]
        for error in await asyncio.gather(*map(refusal, calls)):
            assert (error.code, error.reason) == UNAVAILABLE, error
            assert error.metadata == {"dependency": "database"}
        await worker.succeed(lease)
        assert await service.everything() == before
        await wire.mend()
        assert await worker.ack(lease) == "RECORDED"  # on the same session, without a second report

    await service.becomes(id_, "COMPLETED")

    assert status_of(await service.start()) == "PENDING"


async def test_postgres_may_be_gone_for_a_moment_without_anybody_noticing(
    launch: Launch, catalog: FakeCatalog, wire: Wire
) -> None:
    service = await launch(database_url=wire.database_url)
    catalog.publish(ONE_TASK)
    await service.start()
    await wire.cut()

    with structlog.testing.capture_logs() as logs:
        start = asyncio.create_task(service.start())
        await eventually(lambda: any(line["event"] == "transaction_retried" for line in logs))
        await wire.mend()
        assert status_of(await start) == "PENDING"

    assert len(await service.rows("SELECT 1 FROM executions")) == 2


@asynccontextmanager
async def lost_answers(service: Service, monkeypatch: pytest.MonkeyPatch, times: int) -> AsyncIterator[None]:
    """The next transactions are committed, and reported as if the connection had broken in the commit."""
    store = service.orchestrator.store
    transaction = store.transaction
    left = [times]

    @asynccontextmanager
    async def forgetful() -> AsyncIterator[Any]:
        async with transaction() as tx:
            yield tx
        if left[0]:
            left[0] -= 1
            raise StoreUnavailableError("the commit may have happened")

    with monkeypatch.context() as patched:
        patched.setattr(store, "transaction", forgetful)
        yield
        assert left[0] == 0


async def test_a_start_whose_commit_may_have_happened_is_not_started_twice(
    service: Service, catalog: FakeCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog.publish(ONE_TASK)
    async with lost_answers(service, monkeypatch, 2):
        first = await service.start()
        second = await service.start(request_id="once")
    again = await service.start(request_id="once")
    assert second.execution_id == again.execution_id != first.execution_id
    assert len(await service.rows("SELECT 1 FROM executions")) == 2

    async with ScriptedWorker(service.workers, hello(), credits=2) as worker:
        await worker.leases(2)  # the sweep found what was never pushed


async def test_a_result_whose_commit_may_have_happened_is_recorded_once(
    service: Service, catalog: FakeCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog.publish(ONE_TASK, {"id": "second", "type": "noop", "needs": ["only"]})
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        id_ = (await service.start()).execution_id
        lease = await worker.lease()
        async with lost_answers(service, monkeypatch, 1):
            await worker.succeed(lease)
            assert await worker.ack(lease) == "RECORDED"

    assert (await service.event_types(id_)).count("TASK_SUCCEEDED") == 1


def failing(error: Exception, times: int, then: Callable[..., Any]) -> Callable[..., Any]:
    left = [times]

    async def fail(*arguments: Any, **named: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise error
        return await then(*arguments, **named)

    return fail


async def test_a_token_that_can_not_be_read_after_the_commit_fails_no_call_and_repeats_nothing(
    service: Service, catalog: FakeCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog.publish(ONE_TASK)
    store = service.orchestrator.store
    gone = failing(StoreUnavailableError("gone"), 1, store.consistency_token)
    monkeypatch.setattr(store, "consistency_token", gone)

    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        started = await service.start()
        assert started.consistency_token == ""
        lease = await worker.lease()
        assert worker.most_out == 1
        await worker.succeed(lease)
        await service.becomes(started.execution_id, "COMPLETED")

    assert len(await service.rows("SELECT 1 FROM executions")) == 1
    assert (await service.start()).consistency_token


async def test_a_definition_that_cannot_be_read_stops_its_own_executions_only(
    launch: Launch, catalog: FakeCatalog
) -> None:
    service = await launch(pipeline_lanes=1)
    catalog.publish(ONE_TASK)
    catalog.publish(ONE_TASK, workflow_id="sound")
    damaged, sound = await service.start(), await service.start(workflow_id="sound")
    service.orchestrator.plans._plans._entries.clear()
    await service.rows("DELETE FROM definitions WHERE workflow_id = 'flow'")
    claim = ClaimTask(TaskKey("only"), "worker", "boot", timedelta(seconds=30), b"token")

    undecided, claimed = await _together(service, claim, damaged, sound)

    assert isinstance(undecided, UndecidableError)
    assert isinstance(claimed, WorkResult)
    assert claimed.lease is not None


async def test_pause_and_cancel_need_no_definition(service: Service, catalog: FakeCatalog) -> None:
    catalog.publish(ONE_TASK)
    id_ = (await service.start()).execution_id
    service.orchestrator.plans._plans._entries.clear()
    await service.rows("DELETE FROM definitions")

    assert status_of(await service.pause(id_)) == "PAUSED"
    assert status_of(await service.cancel(id_)) == "CANCELLED"


async def test_a_defect_in_one_decision_fails_no_other_of_its_batch(
    launch: Launch, catalog: FakeCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await launch(pipeline_lanes=1)
    catalog.publish(ONE_TASK)
    first, second = await service.start(), await service.start()

    def defective(snapshot: Snapshot, *arguments: Any) -> Any:
        if str(snapshot.execution.id) == first.execution_id:
            raise KeyError("a defect")
        return decide(snapshot, *arguments)

    monkeypatch.setattr(batch, "decide", defective)
    failed, paused = await _together(service, PauseExecution(), first, second)
    assert isinstance(failed, UndecidableError)
    assert isinstance(paused, WorkResult)
    assert status_of(await service.get(second.execution_id)) == "PAUSED"


async def _together(service: Service, command: Command, *executions: Any) -> list[Any]:
    """The same command to several executions, decided in one batch."""
    submit = service.orchestrator.pipeline.submit
    works = [CommandWork(UUID(each.execution_id), command) for each in executions]
    return await asyncio.gather(*map(submit, works), return_exceptions=True)


async def test_without_redis_starts_are_accepted_and_queue_figures_are_not_to_be_had(
    service: Service, catalog: FakeCatalog, redis_server: Any
) -> None:
    catalog.publish(ONE_TASK)
    redis_server.kill()
    accepted = [await service.start(), await service.start()]
    error = await refusal(service.executions.GetQueueStats(pb.GetQueueStatsRequest()))
    assert (error.code, error.reason) == UNAVAILABLE
    assert error.metadata == {"dependency": "redis"}
    assert status_of(await service.pause(accepted[0].execution_id)) == "PAUSED"
    await service.resume(accepted[0].execution_id)
    redis_server.start()

    async with ScriptedWorker(service.workers, hello(), credits=2) as worker:
        leases = await worker.leases(2)

    assert {lease.task.execution_id for lease in leases} == {each.execution_id for each in accepted}


async def test_an_orchestrator_starts_without_redis_and_without_the_catalog(
    launch: Launch, catalog: FakeCatalog, pool: asyncpg.Pool, redis_server: Any
) -> None:
    redis_server.kill()
    service = await launch()
    catalog.publish(ONE_TASK)
    id_ = (await service.start()).execution_id
    redis_server.start()
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        await worker.succeed(await worker.lease())
        await service.becomes(id_, "COMPLETED")

    await eventually(lambda: service.orchestrator.doorbell._listening)
