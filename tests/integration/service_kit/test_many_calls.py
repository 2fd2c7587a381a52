"""A server that gets more calls than it serves at a time, seen from outside."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry
from service_kit.errors import STATUS_DETAILS_KEY, from_rpc_error
from service_kit.rpc.channel import connect
from service_kit.rpc.rpc_metrics import RpcMetrics
from service_kit.rpc.server import GrpcServer, Registration, ServerLimits
from testkit.eventually import eventually

CALLERS = "test.v1.Callers"
WORKERS = "test.v1.Workers"


class Parked:
    """Calls and streams that stay until the test lets them go."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.there = 0

    async def wait(self, _: bytes, __: Any) -> bytes:
        self.there += 1
        await self.go.wait()
        return b"done"

    async def stream(self, _: bytes, __: Any) -> AsyncIterator[bytes]:
        self.there += 1
        await self.go.wait()
        yield b"done"

    async def echo(self, request: bytes, _: Any) -> bytes:
        return request

    def registration(self, name: str) -> Registration:
        methods = {
            "Wait": grpc.unary_unary_rpc_method_handler(self.wait),
            "Stream": grpc.unary_stream_rpc_method_handler(self.stream),
            "Echo": grpc.unary_unary_rpc_method_handler(self.echo),
        }
        return Registration.generic(name, grpc.method_handlers_generic_handler(name, methods))


@asynccontextmanager
async def serving(parked: Parked, **limits: int) -> AsyncIterator[str]:
    server = GrpcServer(
        "127.0.0.1:0",
        [parked.registration(CALLERS), parked.registration(WORKERS)],
        metrics=RpcMetrics(CollectorRegistry()),
        limits=ServerLimits(**limits),
        always_served=[WORKERS],
    )
    await server.start()
    try:
        yield f"127.0.0.1:{server.port}"
    finally:
        await server.stop(0)


def call(channel: grpc.aio.Channel, service: str, method: str) -> Any:
    return channel.unary_unary(f"/{service}/{method}")(b"x", timeout=300)


async def test_a_full_server_refuses_callers_and_serves_workers_and_health_checks() -> None:
    parked = Parked()
    async with serving(parked, max_calls=2) as address, connect(address) as channel:
        stream = channel.unary_stream(f"/{CALLERS}/Stream")(b"")
        first = asyncio.ensure_future(call(channel, CALLERS, "Wait"))
        await eventually(lambda: parked.there == 2)
        for _ in range(3):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call(channel, CALLERS, "Echo")
            error = from_rpc_error(refused.value)
            assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
            assert error.metadata == {"limit": "2"}
            assert _retry_seconds(refused.value) == 1
        assert await call(channel, WORKERS, "Echo") == b"x"
        await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        parked.go.set()
        assert await first == b"done"
        assert [message async for message in stream] == [b"done"]

        for _ in range(3):
            assert await call(channel, CALLERS, "Echo") == b"x"


def _retry_seconds(error: grpc.aio.AioRpcError) -> int:
    (details,) = [value for key, value in error.trailing_metadata() if key == STATUS_DETAILS_KEY]
    retry = error_details_pb2.RetryInfo()
    assert any(detail.Unpack(retry) for detail in status_pb2.Status.FromString(details).details)
    return retry.retry_delay.seconds


async def test_a_caller_that_leaves_gives_its_place_back() -> None:
    parked = Parked()
    async with serving(parked, max_calls=1) as address, connect(address) as channel:
        for n in range(3):
            left = call(channel, CALLERS, "Wait")
            await eventually(lambda n=n: parked.there == n + 1)
            left.cancel()

            async def served() -> None:
                assert await call(channel, CALLERS, "Echo") == b"x"

            await eventually(served)


async def test_a_burst_is_answered_to_the_last_call() -> None:
    """gRPC itself cancels calls at random once a thousand wait, also those of other callers."""
    parked = Parked()
    async with serving(parked) as address, grpc.aio.insecure_channel(address) as channel:
        answers = await asyncio.gather(*(call(channel, CALLERS, "Echo") for _ in range(2_500)))

    assert answers == [b"x"] * 2_500
