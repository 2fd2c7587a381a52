"""Pass-through: callers of the gateway see what callers of the service would see."""

import asyncio
from uuid import uuid4

import grpc
import grpc.aio
import pytest
from prometheus_client import CollectorRegistry
from service_kit.errors import from_rpc_error
from service_kit.rpc.rpc_metrics import RpcMetrics
from service_kit.rpc.server import GrpcServer
from testkit import eventually
from workflow_gateway import forwarder
from workflow_gateway.bootstrap import EXECUTION_SERVICE
from workflow_gateway.tuning import Tuning
from workflowsystem.execution.v1 import execution_service_pb2 as pb2
from workflowsystem.execution.v1.execution_service_pb2_grpc import ExecutionServiceStub
from workflowsystem.worker.v1 import worker_service_pb2 as worker_pb2
from workflowsystem.worker.v1.worker_service_pb2_grpc import WorkerServiceStub

from tests.fakes.orchestrator import FakeExecutions, FakePeer
from tests.integration.gateway.running_gateway import RunningGateway
from tests.integration.orchestrator.tcp_proxy import proxy_to


async def test_an_answer_goes_through(channel: grpc.aio.Channel, executions: FakeExecutions) -> None:
    execution_id = executions.create(events=2)
    request = pb2.ListExecutionEventsRequest(execution_id=execution_id)
    request.read_consistency.level = 2
    response = await ExecutionServiceStub(channel).ListExecutionEvents(request)

    assert [event.sequence for event in response.events] == [1, 2]


async def test_an_error_goes_through_with_its_details(
    channel: grpc.aio.Channel, executions: FakeExecutions
) -> None:
    request = pb2.ListExecutionEventsRequest(execution_id=str(uuid4()))
    request.read_consistency.level = 2
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ExecutionServiceStub(channel).ListExecutionEvents(request)
    error = from_rpc_error(caught.value)

    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "EXECUTION_NOT_FOUND")
    assert error.metadata == {"execution_id": request.execution_id}
    assert "ListExecutions shows those there are" in error.message


async def test_the_service_itself_judges_requests(channel: grpc.aio.Channel) -> None:
    """The gateway does not decode; a bad field is still named."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ExecutionServiceStub(channel).GetExecution(pb2.GetExecutionRequest(execution_id="x"))
    assert from_rpc_error(caught.value).violations[0].field == "execution_id"


async def test_credentials_and_trace_go_through_and_what_belongs_to_a_connection_does_not(
    channel: grpc.aio.Channel, executions: FakeExecutions
) -> None:
    sent = (
        ("authorization", "Bearer t"),
        ("traceparent", "00-1-2-01"),
        ("x-request-id", "r1"),
        ("x-blob-bin", b"\x00\xff"),
        ("cookie", "c"),
    )
    executions.metadata.clear()
    await ExecutionServiceStub(channel).ListExecutions(pb2.ListExecutionsRequest(), metadata=sent)

    arrived = next(dict(seen) for seen in executions.metadata if "authorization" in dict(seen))

    assert arrived["traceparent"] == "00-1-2-01"
    assert arrived["x-request-id"] == "r1"
    assert arrived["x-blob-bin"] == b"\x00\xff"
    assert "cookie" not in arrived


async def test_a_deadline_holds_behind_the_gateway_too(
    channel: grpc.aio.Channel, executions: FakeExecutions
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ExecutionServiceStub(channel).WaitExecution(
            pb2.WaitExecutionRequest(execution_id=str(uuid4())), timeout=0.2
        )
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(executions.cancelled.wait(), 5)


async def test_a_cancelled_call_is_cancelled_behind_the_gateway(
    channel: grpc.aio.Channel, executions: FakeExecutions
) -> None:
    call = ExecutionServiceStub(channel).WaitExecution(pb2.WaitExecutionRequest(execution_id=str(uuid4())))
    await eventually(lambda: executions.calls["WaitExecution"] == 1)
    call.cancel()
    await asyncio.wait_for(executions.cancelled.wait(), 5)


async def test_a_stream_goes_through_with_its_trailers(
    channel: grpc.aio.Channel, executions: FakeExecutions
) -> None:
    execution_id = executions.create(events=3)
    executions.write(execution_id, final=True)
    request = pb2.StreamExecutionEventsRequest(execution_id=execution_id)
    call = ExecutionServiceStub(channel).StreamExecutionEvents(request)

    assert [message.events[0].sequence async for message in call] == [1, 2, 3, 4]
    assert ("x-seen", "all") in tuple(await call.trailing_metadata())


async def test_an_error_of_a_stream_goes_through_with_its_details(channel: grpc.aio.Channel) -> None:
    call = ExecutionServiceStub(channel).StreamExecutionEvents(
        pb2.StreamExecutionEventsRequest(execution_id=str(uuid4()))
    )

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert from_rpc_error(caught.value).reason == "EXECUTION_NOT_FOUND"


async def test_a_cancelled_stream_is_cancelled_behind_the_gateway(
    channel: grpc.aio.Channel, executions: FakeExecutions
) -> None:
    request = pb2.StreamExecutionEventsRequest(execution_id=executions.create())
    call = ExecutionServiceStub(channel).StreamExecutionEvents(request)
    await call.read()
    call.cancel()
    await asyncio.wait_for(executions.cancelled.wait(), 5)


async def test_a_session_goes_both_ways_and_ends_with_its_worker(channel: grpc.aio.Channel) -> None:
    call = WorkerServiceStub(channel).Session()
    hello = worker_pb2.Hello(worker_id="w1", boot_id="b1", task_types=["noop"], slots=1)
    await call.write(worker_pb2.WorkerMessage(hello=hello))
    assert (await call.read()).welcome.session_id == "w1"
    for _ in range(10):
        await call.write(worker_pb2.WorkerMessage(credits=worker_pb2.Credits(amount=1)))
        assert (await call.read()).HasField("drain")

    await call.done_writing()

    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def test_a_peer_that_is_away_is_named(channel: grpc.aio.Channel, peer: FakePeer) -> None:
    await peer.stop()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ExecutionServiceStub(channel).ListExecutions(pb2.ListExecutionsRequest())
    error = from_rpc_error(caught.value)

    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
    assert error.metadata == {"dependency": "orchestrator"}
    assert "try again" in error.message


async def test_a_session_whose_orchestrator_dies_ends_with_unavailable(
    channel: grpc.aio.Channel, peer: FakePeer
) -> None:
    call = WorkerServiceStub(channel).Session()
    hello = worker_pb2.Hello(worker_id="w1", boot_id="b1", task_types=["noop"], slots=1)
    await call.write(worker_pb2.WorkerMessage(hello=hello))
    await call.read()
    await peer.stop()

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_draining_gateway_ends_streams_so_that_callers_go_elsewhere(
    channel: grpc.aio.Channel, executions: FakeExecutions, gateway: RunningGateway
) -> None:
    request = pb2.StreamExecutionEventsRequest(execution_id=executions.create())
    call = ExecutionServiceStub(channel).StreamExecutionEvents(request)
    await call.read()
    stopping = asyncio.create_task(gateway.stop(5))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert from_rpc_error(caught.value).reason == "DRAINING"
    await asyncio.wait_for(stopping, 2)


@pytest.mark.parametrize("method", ["WaitExecution", "LeaseTasks"])
async def test_a_draining_gateway_ends_calls_that_wait(
    channel: grpc.aio.Channel, executions: FakeExecutions, gateway: RunningGateway, method: str
) -> None:
    """One of them would hold the drain for the whole grace, while the gateway refuses new calls."""
    if method == "WaitExecution":
        request = pb2.WaitExecutionRequest(execution_id=str(uuid4()))
        waiting = asyncio.ensure_future(ExecutionServiceStub(channel).WaitExecution(request))
    else:
        worker = worker_pb2.Hello(worker_id="w1", boot_id="b1", task_types=["noop"], slots=1)
        lease = worker_pb2.LeaseTasksRequest(worker=worker, max_tasks=1)
        waiting = asyncio.ensure_future(WorkerServiceStub(channel).LeaseTasks(lease))
    await eventually(lambda: executions.calls[method] == 1)
    stopping = asyncio.create_task(gateway.stop(600))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await asyncio.wait_for(waiting, 60)
    assert from_rpc_error(caught.value).reason == "DRAINING"
    await asyncio.wait_for(executions.cancelled.wait(), 60)

    await asyncio.wait_for(stopping, 60)


@pytest.mark.parametrize("tuning", [Tuning(read_seconds=0.0)], ids=["read_seconds"])
async def test_a_draining_gateway_lets_calls_that_change_something_end(
    channel: grpc.aio.Channel, executions: FakeExecutions, gateway: RunningGateway
) -> None:
    executions.answering.clear()
    request = pb2.StartExecutionRequest(workflow_id="orders")
    starting = asyncio.ensure_future(ExecutionServiceStub(channel).StartExecution(request))
    listing = asyncio.ensure_future(ExecutionServiceStub(channel).ListExecutions(pb2.ListExecutionsRequest()))
    await eventually(lambda: executions.calls["StartExecution"] == executions.calls["ListExecutions"] == 1)
    stopping = asyncio.create_task(gateway.stop(600))
    with pytest.raises(grpc.aio.AioRpcError):
        await asyncio.wait_for(listing, 60)
    executions.answering.set()
    assert (await asyncio.wait_for(starting, 60)).workflow_id == "orders"

    await asyncio.wait_for(stopping, 60)


async def test_streams_and_reads_that_come_during_a_drain_are_sent_elsewhere(
    peer: FakePeer, executions: FakeExecutions
) -> None:
    """Until the server closes, a client may still send calls on the connection that it has."""
    async with grpc.aio.insecure_channel(peer.address) as to_the_peer:
        draining = forwarder.Forwarder(
            EXECUTION_SERVICE, to_the_peer, peer="orchestrator", max_streams=10, read_seconds=0.0
        )
        server = GrpcServer("127.0.0.1:0", [draining.registration()], metrics=RpcMetrics(CollectorRegistry()))
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{await server.start()}")
        stub = ExecutionServiceStub(channel)

        try:
            await stub.ListExecutions(pb2.ListExecutionsRequest())
            await draining.drain()
            await asyncio.sleep(0)
            request = pb2.StreamExecutionEventsRequest(execution_id=executions.create())
            for call in (
                stub.StreamExecutionEvents(request).read(),
                stub.ListExecutions(pb2.ListExecutionsRequest()),
            ):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await call
                assert from_rpc_error(caught.value).reason == "DRAINING"
            await stub.StartExecution(pb2.StartExecutionRequest(workflow_id="flow"))  # it changes something
        finally:
            await channel.close()
            await server.stop(0)


@pytest.mark.parametrize(
    ("code", "becomes", "reason"),
    [
        (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE"),
        (grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE"),
        (grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.RESOURCE_EXHAUSTED, "PAYLOAD_TOO_LARGE"),
    ],
)
async def test_an_error_of_the_connection_to_the_peer_has_a_reason(
    channel: grpc.aio.Channel,
    executions: FakeExecutions,
    code: grpc.StatusCode,
    becomes: grpc.StatusCode,
    reason: str,
) -> None:
    """Without details it does not come from a service: a reset stream, a proxy, a message over the limit."""
    executions.bare_error = code
    for call in (
        ExecutionServiceStub(channel).ListExecutions(pb2.ListExecutionsRequest()),
        ExecutionServiceStub(channel)
        .StreamExecutionEvents(pb2.StreamExecutionEventsRequest(execution_id=executions.create()))
        .read(),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        error = from_rpc_error(caught.value)
        assert (error.code, error.reason) == (becomes, reason)


async def test_a_stream_that_reaches_its_age_ends_so_that_its_caller_goes_on_elsewhere(
    peer: FakePeer, executions: FakeExecutions, aged_channel: grpc.aio.Channel
) -> None:
    request = pb2.StreamExecutionEventsRequest(execution_id=executions.create())
    session = WorkerServiceStub(aged_channel).Session()
    hello = worker_pb2.Hello(worker_id="w1", boot_id="b1", task_types=["noop"], slots=1)
    await session.write(worker_pb2.WorkerMessage(hello=hello))
    assert (await session.read()).welcome.session_id == "w1"
    call = ExecutionServiceStub(aged_channel).StreamExecutionEvents(request)
    assert (await call.read()).events[0].sequence == 1
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await asyncio.wait_for(call.read(), 60)
    error = from_rpc_error(caught.value)
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
    assert "maximum age" in error.message

    # The connection has had its GOAWAY, and the session on it goes on: its orchestrator asks it to leave.
    await session.write(worker_pb2.WorkerMessage(credits=worker_pb2.Credits(amount=1)))

    assert (await session.read()).HasField("drain")


async def test_the_connection_of_a_client_is_renewed_and_no_call_fails(aged_gateway: RunningGateway) -> None:
    """So a gateway that joins later gets its share of the clients."""
    connections: list[int] = []

    async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        connections.append(len(connections))
        return await asyncio.open_connection("127.0.0.1", aged_gateway.grpc.port)

    async with (
        proxy_to(connect) as proxy,
        grpc.aio.insecure_channel(f"127.0.0.1:{proxy.port}") as channel,
        asyncio.timeout(45),  # less than the minute after which an old connection is cut off
    ):
        while len(connections) < 3:
            await ExecutionServiceStub(channel).ListExecutions(pb2.ListExecutionsRequest())


async def test_a_method_of_another_name_is_refused_with_the_nearest_one(channel: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await channel.unary_unary("/workflow.execution.v1.ExecutionService/StartExecution")(b"")
    error = from_rpc_error(caught.value)

    assert (error.code, error.reason) == (grpc.StatusCode.UNIMPLEMENTED, "METHOD_NOT_FOUND")
    assert "did you mean /workflowsystem.execution.v1.ExecutionService/StartExecution?" in error.message
