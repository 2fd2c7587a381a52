"""What a session may take: time until Hello, room for what is not read, and an age."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from execution_orchestrator.application.workers.session import OutboxLimits
from execution_orchestrator.entrypoints.worker_servicer import SessionLimits
from execution_orchestrator.entrypoints.worker_stream import StreamLimits
from service_kit.rpc.stream_age import StreamAge
from testkit import eventually
from workflow_sdk import Worker, task
from workflowsystem.execution.v1 import execution_service_pb2 as executions_pb
from workflowsystem.execution.v1.execution_service_pb2_grpc import ExecutionServiceStub
from workflowsystem.worker.v1 import task_pb2
from workflowsystem.worker.v1 import worker_service_pb2 as pb

from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.conftest import Launch
from tests.integration.orchestrator.scripted_worker import ScriptedWorker, hello, result_of
from tests.integration.orchestrator.service import Service, refusal, tuned
from tests.integration.orchestrator.tcp_proxy import TcpProxy, proxy_to

STRICT = {"maximum_attempts": 1, "maximum_lost_attempts": 0}
ONE_TASK: dict[str, Any] = {"id": "only", "type": "noop", "input": "${input}", "retry_policy": STRICT}

NOTHING = task_pb2.Lease(task=task_pb2.TaskRef(execution_id="none", task_id="none"))
"""A heartbeat of it is answered when everything before it was read."""


@tuned(sessions=SessionLimits(hello_seconds=0.2))
async def test_a_stream_without_hello_is_ended_and_never_counts_as_a_session(service: Service) -> None:
    call = service.workers.Session()
    error = await refusal(call.read())

    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "SESSION_PROTOCOL_VIOLATION")
    assert "Hello must come within" in error.message
    assert service.orchestrator.roster.sessions == []


@tuned(sessions=SessionLimits(stream=StreamLimits(write_seconds=0.5)))
async def test_leases_that_a_worker_does_not_read_go_to_another_one(
    service: Service, catalog: FakeCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection lives, but nobody takes the messages out of it."""
    monkeypatch.setattr(
        service.orchestrator.workers._leases, "ttl", service.orchestrator.workers._leases.ttl / 100
    )
    catalog.publish(ONE_TASK)
    call = service.workers.Session()
    await call.write(pb.WorkerMessage(hello=hello("deaf")))
    await call.read()
    await call.write(pb.WorkerMessage(credits=pb.Credits(amount=20)))
    await eventually(lambda: [each.credits for each in service.orchestrator.roster.sessions] == [20])
    ids = {(await service.start({"text": "x" * 900_000})).execution_id for _ in range(20)}
    async with ScriptedWorker(service.workers, hello("other"), credits=20) as other:
        await eventually(
            lambda: [each.worker_id for each in service.orchestrator.roster.sessions] == ["other"], 30
        )
        seen = {(await other.lease()).task.execution_id for _ in range(15)}
        assert seen <= ids
    assert await service.rows("SELECT 1 FROM task_runs WHERE lost_attempts > 0") == []

    call.cancel()


@tuned(sessions=SessionLimits(outbox=OutboxLimits(unsent_items=20)))
async def test_answers_that_a_worker_does_not_read_end_its_session(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        await service.start()
        lease = await worker.lease()
        stale = [result_of(lease, epoch=100 + number) for number in range(30)]
        await worker.report(*stale)

        assert await worker.ending() == grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_credits_are_capped_at_the_slots_of_the_worker(service: Service) -> None:
    async with ScriptedWorker(service.workers, hello(slots=7)) as worker:
        for _ in range(3):
            await worker.grant(10_000)
        await worker.heartbeat(NOTHING)
        (session,) = service.orchestrator.roster.sessions

        assert session.credits == 7


# -- age ----------------------------------------------------------------------------------------------


def test_a_session_is_asked_to_leave_after_its_connection_was_and_before_that_ends() -> None:
    """So the next session is on another connection, and nothing is cut off."""
    for share in (0.0, 1.0):
        age = StreamAge(100.0, lambda low, high, share=share: low + share * (high - low))  # type: ignore[misc]
        seconds = age.next_stream_seconds()
        assert seconds is not None
        earliest_goaway, latest_goaway = 90.0, 110.0
        assert seconds >= latest_goaway
        assert latest_goaway + seconds + 30.0 < earliest_goaway + age.grace_seconds


def test_without_an_age_no_session_is_asked_to_leave() -> None:
    assert StreamAge(0.0, lambda low, _: low).next_stream_seconds() is None


@task("noop")
async def noop(_: Any) -> None:
    return None


@asynccontextmanager
async def counted(service: Service) -> AsyncIterator[tuple[TcpProxy, list[int]]]:
    """A way to the service that counts the connections made through it."""
    connections: list[int] = []

    async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        connections.append(len(connections))
        return await asyncio.open_connection("127.0.0.1", service.grpc_port)

    async with proxy_to(connect) as proxy:
        yield proxy, connections


async def test_workers_leave_connections_that_are_old_and_nothing_is_lost_or_charged(
    launch: Launch, catalog: FakeCatalog
) -> None:
    service = await launch(connection_max_age=1.0)
    catalog.publish(ONE_TASK)
    async with counted(service) as (proxy, connections):
        stop = asyncio.Event()
        worker = Worker(f"127.0.0.1:{proxy.port}", tasks=[noop], grace=5.0)
        running = asyncio.create_task(worker.run(stop))
        async with asyncio.timeout(45):  # less than the minute after which an old connection is cut off
            while len(connections) < 4:
                await service.start()

        async def all_completed() -> None:
            assert await service.rows("SELECT 1 FROM executions WHERE status <> 'COMPLETED'") == []

        await eventually(all_completed, 30)
        stop.set()
        await running
    assert await service.rows("SELECT 1 FROM task_runs WHERE lost_attempts > 0 OR failed_attempts > 0") == []


@tuned(sessions=SessionLimits(leave_seconds=0.2))
async def test_a_worker_that_is_asked_to_leave_and_stays_is_left(launch: Launch) -> None:
    service = await launch(connection_max_age=0.5)
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        await eventually(lambda: len(worker.all("drain")) == 1)
        assert await worker.ending() == grpc.StatusCode.UNAVAILABLE


async def test_the_connection_of_a_client_is_renewed_and_no_call_fails(launch: Launch) -> None:
    service = await launch(connection_max_age=0.5)
    async with (
        counted(service) as (proxy, connections),
        grpc.aio.insecure_channel(f"127.0.0.1:{proxy.port}") as channel,
    ):
        stub: Any = ExecutionServiceStub(channel)
        while len(connections) < 3:
            await stub.ListExecutions(executions_pb.ListExecutionsRequest())
