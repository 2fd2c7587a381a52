"""A result that could not be recorded is tried again here, while the session goes on."""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from execution_orchestrator.application.engine.work import ExecutionLockedError, Work
from execution_orchestrator.application.ports.store import StoreUnavailableError
from execution_orchestrator.entrypoints.worker_servicer import SessionLimits
from execution_orchestrator.entrypoints.worker_stream import StreamLimits
from service_kit.errors import unavailable
from testkit import eventually

from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.scripted_worker import ScriptedWorker, hello
from tests.integration.orchestrator.service import Service, tuned

ONE_TASK: dict[str, Any] = {"id": "only", "type": "noop", "retry_policy": {"maximum_attempts": 1}}


impatient = tuned(sessions=SessionLimits(stream=StreamLimits(report_seconds=0.0)))
"""A result that cannot be recorded is tried once more, and then given up."""


class Failing:
    """A pipeline that fails for one execution, as often as it is told to."""

    def __init__(self, service: Service, execution_id: str, error: Exception, times: int) -> None:
        self._pipeline = service.orchestrator.pipeline
        self._submit: Callable[[Work], asyncio.Future[Any]] = self._pipeline.submit
        self._execution_id = execution_id
        self._error = error
        self.left = times

    def submit(self, work: Work) -> asyncio.Future[Any]:
        if str(work.execution_id) != self._execution_id or not self.left:
            return self._submit(work)
        self.left -= 1
        failed = asyncio.get_running_loop().create_future()
        failed.set_exception(self._error)
        return failed


@pytest.mark.parametrize(
    "error",
    [
        StoreUnavailableError("gone"),
        ExecutionLockedError("locked"),
        unavailable("OVERLOADED", "full"),
        KeyError(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_result_is_recorded_later_on_the_same_session_and_its_neighbours_at_once(
    service: Service, catalog: FakeCatalog, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    catalog.publish(ONE_TASK)
    async with ScriptedWorker(service.workers, hello(), credits=2) as worker:
        for _ in range(2):
            await service.start()
        late, early = await worker.leases(2)
        failing = Failing(service, late.task.execution_id, error, times=3)
        monkeypatch.setattr(service.orchestrator.pipeline, "submit", failing.submit)

        await worker.succeed(late, early)

        assert await worker.ack(early) == "RECORDED"
        assert await worker.ack(late) == "RECORDED"
        assert failing.left == 0
        assert len(service.orchestrator.roster.sessions) == 1


@impatient
async def test_when_postgres_stays_away_the_worker_is_sent_to_another_replica(
    service: Service, catalog: FakeCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog.publish(ONE_TASK)
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        await service.start()
        lease = await worker.lease()
        failing = Failing(service, lease.task.execution_id, StoreUnavailableError("gone"), times=1_000)
        with monkeypatch.context() as patched:
            patched.setattr(service.orchestrator.pipeline, "submit", failing.submit)
            await worker.succeed(lease)
            assert await worker.ending() == grpc.StatusCode.UNAVAILABLE

    async with ScriptedWorker(service.workers, hello()) as worker:
        await worker.succeed(lease)
        assert await worker.ack(lease) == "RECORDED"


@impatient
async def test_a_result_that_fails_for_an_unknown_reason_does_not_end_session_after_session(
    service: Service, catalog: FakeCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog.publish(ONE_TASK)
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        await service.start()
        lease = await worker.lease()
        failing = Failing(service, lease.task.execution_id, KeyError("a defect"), times=1_000)
        with monkeypatch.context() as patched:
            patched.setattr(service.orchestrator.pipeline, "submit", failing.submit)
            await worker.succeed(lease)
            assert await worker.ack(lease) == "UNDECIDED"
        assert len(service.orchestrator.roster.sessions) == 1
        await worker.succeed(lease)

        await eventually(lambda: len(worker.all("result_acks")) == 2)

        assert await worker.ack(lease) == "RECORDED"
