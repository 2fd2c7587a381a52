"""The server tells its health, describes itself, and ends in good order."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client import CollectorRegistry
from service_kit.errors import from_rpc_error
from service_kit.process.health import HealthChecks, feed_grpc_health
from service_kit.rpc.channel import connect
from service_kit.rpc.rpc_metrics import RpcMetrics
from service_kit.rpc.server import GrpcServer, Registration

NAME = "test.v1.StreamService"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Streams:
    """A stream that lasts until it is told to end, and a slow unary call."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.finish = asyncio.Event()
        self.running = asyncio.Event()

    async def stream(self, _: bytes, __: Any) -> AsyncIterator[bytes]:
        yield b"first"
        await self.ended.wait()
        yield b"resume token"

    async def slow(self, _: bytes, __: Any) -> bytes:
        self.running.set()
        await self.finish.wait()
        return b"done"

    async def drain(self) -> None:
        self.ended.set()

    def registration(self) -> Registration:
        methods = {
            "Stream": grpc.unary_stream_rpc_method_handler(self.stream),
            "Slow": grpc.unary_unary_rpc_method_handler(self.slow),
        }
        return Registration.generic(NAME, grpc.method_handlers_generic_handler(NAME, methods))


@pytest.fixture
def streams() -> Streams:
    return Streams()


@pytest.fixture
async def server(streams: Streams) -> AsyncIterator[GrpcServer]:
    metrics = RpcMetrics(CollectorRegistry())
    server = GrpcServer("127.0.0.1:0", [streams.registration()], metrics=metrics, on_drain=[streams.drain])
    await server.start()
    yield server
    await server.stop(0)


@pytest.fixture
async def channel(server: GrpcServer) -> AsyncIterator[grpc.aio.Channel]:
    async with connect(f"127.0.0.1:{server.port}") as channel:
        yield channel


async def status(channel: grpc.aio.Channel, name: str) -> Any:
    stub = health_pb2_grpc.HealthStub(channel)
    return (await stub.Check(health_pb2.HealthCheckRequest(service=name))).status


async def test_a_server_starts_as_not_serving_until_told(
    server: GrpcServer, channel: grpc.aio.Channel
) -> None:
    assert await status(channel, NAME) == NOT_SERVING
    assert await status(channel, "") == NOT_SERVING
    await server.set_serving(True)

    assert await status(channel, NAME) == SERVING
    assert await status(channel, "") == SERVING


async def test_health_of_an_unknown_service_is_not_found(channel: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await status(channel, "no.such.Service")
    assert failed.value.code() is grpc.StatusCode.NOT_FOUND


async def test_health_follows_the_checks_and_a_watcher_sees_each_change(
    server: GrpcServer, channel: grpc.aio.Channel
) -> None:
    healthy = True

    async def database() -> None:
        if not healthy:
            raise ConnectionError("gone")

    checks = HealthChecks()
    checks.check("database", database)
    feed = asyncio.create_task(feed_grpc_health(checks, server, interval_seconds=0.01))
    watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=NAME))
    while (await watch.read()).status != SERVING:
        pass
    healthy = False
    assert (await watch.read()).status == NOT_SERVING
    feed.cancel()
    watch.cancel()


async def test_reflection_names_the_services(channel: grpc.aio.Channel) -> None:
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    answers = [answer async for answer in stub.ServerReflectionInfo(iter([request]))]
    names = {service.name for service in answers[0].list_services_response.service}

    assert {NAME, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"} <= names


async def test_stopping_says_not_serving_ends_streams_by_their_hook_and_does_not_wait_the_grace(
    server: GrpcServer, channel: grpc.aio.Channel
) -> None:
    await server.set_serving(True)
    watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=NAME))
    assert (await watch.read()).status == SERVING
    stream = channel.unary_stream(f"/{NAME}/Stream")(b"")
    assert await stream.read() == b"first"
    started = asyncio.get_running_loop().time()
    stopping = asyncio.create_task(server.stop(30))
    assert (await watch.read()).status == NOT_SERVING
    assert await stream.read() == b"resume token"
    watch.cancel()

    await stopping

    assert asyncio.get_running_loop().time() - started < 10


async def test_a_call_in_flight_is_finished_within_the_grace(
    server: GrpcServer, channel: grpc.aio.Channel, streams: Streams
) -> None:
    slow = asyncio.ensure_future(channel.unary_unary(f"/{NAME}/Slow")(b""))
    await streams.running.wait()
    stopping = asyncio.create_task(server.stop(30))
    streams.finish.set()
    assert await slow == b"done"
    await stopping


async def test_a_drain_hook_that_hangs_or_fails_does_not_keep_the_server_from_stopping() -> None:
    async def fails() -> None:
        raise RuntimeError("hook")

    async def hangs() -> None:
        await asyncio.Event().wait()

    metrics = RpcMetrics(CollectorRegistry())
    server = GrpcServer("127.0.0.1:0", [], metrics=metrics, on_drain=[fails, hangs])
    await server.start()

    await asyncio.wait_for(server.stop(0.05), 10)


async def test_an_address_in_use_is_refused_with_a_hint(server: GrpcServer) -> None:
    second = GrpcServer(f"127.0.0.1:{server.port}", [], metrics=RpcMetrics(CollectorRegistry()))
    with pytest.raises(RuntimeError, match="GRPC_LISTEN"):
        await second.start()


async def test_a_stop_ends_the_streams_of_health_and_reflection(
    server: GrpcServer, channel: grpc.aio.Channel
) -> None:
    """Clients of Go and Java keep a watch of health open, tools such as grpcui a stream of reflection."""
    await server.set_serving(True)
    watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
    assert (await watch.read()).status == SERVING
    explorer = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo()
    await explorer.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    assert (await explorer.read()).HasField("list_services_response")
    stopping = asyncio.create_task(server.stop(600))
    assert (await watch.read()).status == NOT_SERVING
    for stream in (watch, explorer):
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await stream.read()
        assert from_rpc_error(ended.value).reason == "DRAINING"

    await asyncio.wait_for(stopping, 60)
