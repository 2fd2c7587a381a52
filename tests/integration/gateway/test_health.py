"""What the gateway says of itself and of what it needs."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from testkit import eventually
from workflowsystem.execution.v1.execution_service_pb2 import StartExecutionRequest
from workflowsystem.execution.v1.execution_service_pb2_grpc import ExecutionServiceStub

from tests.fakes.orchestrator import FakePeer
from tests.integration.gateway.running_gateway import RunningGateway

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICES = [
    "workflowsystem.catalog.v1.WorkflowCatalogService",
    "workflowsystem.execution.v1.ExecutionService",
    "workflowsystem.gateway.v1.WatchService",
    "workflowsystem.worker.v1.WorkerService",
]


@pytest.fixture
async def http(gateway: RunningGateway) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{gateway.http.port}", trust_env=False) as client:
        yield client


async def test_health_is_what_the_users_wrote_down(http: httpx.AsyncClient) -> None:
    answer = await http.get("/health")

    assert answer.status_code == 200
    assert answer.text == '{"status":"healthy","database":"connected","redis":"connected"}'


async def test_without_redis_health_says_so_and_the_gateway_stays_ready(
    http: httpx.AsyncClient, redis_server: Any
) -> None:
    redis_server.kill()
    answer = await http.get("/health")
    assert answer.status_code == 503
    body = answer.json()

    assert (body["status"], body["database"], body["redis"]) == ("unhealthy", "connected", "disconnected")
    assert list(body["problems"]) == ["redis"]
    assert (await http.get("/readyz")).status_code == 200


async def test_the_database_is_disconnected_if_a_service_says_so(
    http: httpx.AsyncClient, peer: FakePeer
) -> None:
    peer.health.serving = peer.health.database = False
    answer = await http.get("/health")

    assert answer.status_code == 503
    assert (answer.json()["status"], answer.json()["database"]) == ("unhealthy", "disconnected")


async def test_a_service_that_is_not_ready_for_another_reason_does_not_blame_the_database(
    http: httpx.AsyncClient, peer: FakePeer
) -> None:
    peer.health.serving = False
    answer = await http.get("/health")

    assert answer.status_code == 503
    assert (answer.json()["status"], answer.json()["database"]) == ("unhealthy", "connected")
    assert "its own /readyz says why" in answer.json()["problems"]["orchestrator"]


async def test_nobody_knows_the_database_while_both_services_are_away(
    http: httpx.AsyncClient, peer: FakePeer
) -> None:
    await peer.stop()
    answer = await http.get("/health")
    assert answer.status_code == 503
    body = answer.json()

    assert (body["status"], body["database"], body["redis"]) == ("unhealthy", "unknown", "connected")
    assert set(body["problems"]) == {"catalog", "orchestrator"}


async def test_a_gateway_without_its_services_is_ready_and_shows_what_is_away(
    http: httpx.AsyncClient, peer: FakePeer
) -> None:
    """Otherwise a catalog that is away would take every gateway, with its watches and workers, out of use."""
    await peer.stop()
    answer = await http.get("/readyz")

    assert answer.status_code == 200
    assert {name for name, said in answer.json()["checks"].items() if said != "ok"} == {
        "catalog",
        "orchestrator",
    }
    assert (await http.get("/livez")).status_code == 200


async def test_a_gateway_that_drains_is_not_ready(
    http: httpx.AsyncClient, gateway: RunningGateway, channel: grpc.aio.Channel, peer: FakePeer
) -> None:
    peer.executions.answering.clear()
    start = ExecutionServiceStub(channel).StartExecution(StartExecutionRequest(workflow_id="orders"))
    starting = asyncio.ensure_future(start)
    await eventually(lambda: peer.executions.calls["StartExecution"] == 1)
    stopping = asyncio.create_task(gateway.stop(600))  # it waits for the call that changes something

    async def says_so() -> None:
        answer = await http.get("/readyz")
        assert answer.status_code == 503
        assert "shutting down" in answer.json()["checks"]["gateway"]

    await eventually(says_so, timeout=30)
    peer.executions.answering.set()
    await asyncio.wait_for(asyncio.gather(starting, stopping), 60)


async def test_slow_reads_do_not_make_the_gateway_unready(http: httpx.AsyncClient, peer: FakePeer) -> None:
    peer.executions.answering.clear()
    assert (await http.get("/readyz")).status_code == 200


async def test_health_recovers_by_itself(http: httpx.AsyncClient, peer: FakePeer) -> None:
    await peer.stop()
    assert (await http.get("/health")).status_code == 503
    await peer.start()

    async def healthy() -> bool:
        return (await http.get("/health")).status_code == 200

    await eventually(healthy, timeout=10)


@pytest.mark.parametrize("path", ["/health", "/readyz"])
async def test_many_who_ask_at_once_cost_one_round_of_checks(
    http: httpx.AsyncClient, peer: FakePeer, path: str
) -> None:
    before = peer.health.calls
    await asyncio.gather(*(http.get(path) for _ in range(20)))

    # A round asks catalog and orchestrator twice each. Allow for the rounds of the gateway itself, and for
    # one more if the answers take longer than one is kept.
    assert peer.health.calls <= before + 4 * 4


async def test_grpc_health_names_every_service_and_the_gateway_itself(
    channel: grpc.aio.Channel, peer: FakePeer
) -> None:
    stub = health_pb2_grpc.HealthStub(channel)

    async def status(name: str) -> Any:
        return (await stub.Check(health_pb2.HealthCheckRequest(service=name))).status

    async def all_are(expected: int) -> bool:
        return all([await status(name) == expected for name in SERVICES])

    await eventually(lambda: all_are(SERVING))
    await peer.stop()
    await eventually(lambda: all_are(NOT_SERVING), timeout=30)
    assert await status("") == SERVING


async def test_reflection_lists_the_forwarded_services_and_their_files(channel: grpc.aio.Channel) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    call = stub.ServerReflectionInfo()
    await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    listed = [service.name for service in (await call.read()).list_services_response.service]
    assert set(SERVICES) <= set(listed)
    for name in SERVICES:
        await call.write(reflection_pb2.ServerReflectionRequest(file_containing_symbol=name))
        assert (await call.read()).HasField("file_descriptor_response")

    await call.done_writing()

    assert await call.read() is grpc.aio.EOF


async def test_metrics_show_watchers_and_calls(http: httpx.AsyncClient) -> None:
    text = (await http.get("/metrics")).text

    assert "workflow_watchers 0.0" in text
    assert "workflow_watch_delivery_seconds_bucket" in text
    assert "grpc_server_started_total" in text
