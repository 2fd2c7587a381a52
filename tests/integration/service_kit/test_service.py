"""The servers of a service start together and stop in an order that callers can rely on."""

import asyncio
from typing import Any

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry
from service_kit.process.health import HealthChecks
from service_kit.process.service import Servers, limits_of, running
from service_kit.process.settings import ServerSettings
from service_kit.rpc.channel import connect
from service_kit.rpc.server import GrpcServer, Registration
from service_kit.rpc.stream_age import StreamAge
from testkit import eventually
from testkit.ports import free_ports

NAME = "test.v1.SlowService"
SLOW = f"/{NAME}/Slow"


class SlowService:
    """One call that lasts until `finish` is set."""

    def __init__(self) -> None:
        self.called = asyncio.Event()
        self.finish = asyncio.Event()

    async def slow(self, _: bytes, __: Any) -> bytes:
        self.called.set()
        await self.finish.wait()
        return b"done"

    def registration(self) -> Registration:
        methods = {"Slow": grpc.unary_unary_rpc_method_handler(self.slow)}
        return Registration.generic(NAME, grpc.method_handlers_generic_handler(NAME, methods))


def settings(**more: Any) -> ServerSettings:
    return ServerSettings(**{"grpc_listen": "127.0.0.1:0", "http_listen": "127.0.0.1:0", **more})


async def http_status(servers: Servers, path: str) -> int:
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.get(f"http://127.0.0.1:{servers.http.port}{path}")).status_code


async def health(port: int) -> Any:
    async with connect(f"127.0.0.1:{port}") as channel:
        return (await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())).status


async def test_health_answers_while_calls_in_flight_finish_and_http_stops_last() -> None:
    slow, leave, draining = SlowService(), asyncio.Event(), asyncio.Event()
    started: asyncio.Future[Servers] = asyncio.get_running_loop().create_future()

    async def drain() -> None:
        draining.set()

    async def run() -> None:
        more: dict[str, Any] = {"on_drain": [drain], "registry": CollectorRegistry()}
        async with running(settings(shutdown_grace=600), [slow.registration()], HealthChecks(), **more) as it:
            started.set_result(it)
            await leave.wait()

    service = asyncio.create_task(run())
    servers = await started
    async with connect(f"127.0.0.1:{servers.grpc.port}") as channel:
        call = channel.unary_unary(SLOW)(b"")
        await slow.called.wait()
        leave.set()
        await draining.wait()

        assert await http_status(servers, "/livez") == 200
        assert await http_status(servers, "/readyz") == 200
        slow.finish.set()
        assert await call == b"done"

    await service
    with pytest.raises(httpx.ConnectError):
        await http_status(servers, "/livez")


async def test_the_grace_of_the_settings_ends_calls_that_do_not_finish() -> None:
    slow = SlowService()
    (port,) = free_ports(1)
    given = settings(grpc_listen=f"127.0.0.1:{port}", shutdown_grace=0)
    async with asyncio.timeout(30), connect(f"127.0.0.1:{port}") as channel:
        async with running(given, [slow.registration()], HealthChecks(), registry=CollectorRegistry()):
            call = channel.unary_unary(SLOW)(b"", wait_for_ready=True)
            await slow.called.wait()

        assert await call.code() is not grpc.StatusCode.OK


async def test_a_check_that_fails_shows_in_readyz_and_in_grpc_health() -> None:
    problems = ["gone"]

    async def database() -> None:
        if problems:
            raise ConnectionError(problems[0])

    checks = HealthChecks()
    checks.check("database", database)
    async with running(settings(), [], checks, registry=CollectorRegistry()) as servers:
        assert await http_status(servers, "/readyz") == 503
        assert await health(servers.grpc.port) == health_pb2.HealthCheckResponse.NOT_SERVING

        problems.clear()

        async def ready() -> None:
            assert await http_status(servers, "/readyz") == 200
            assert await health(servers.grpc.port) == health_pb2.HealthCheckResponse.SERVING

        await eventually(ready)


async def test_a_feed_of_health_that_fails_begins_again() -> None:
    calls: list[GrpcServer] = []

    async def feed(_: HealthChecks, server: GrpcServer) -> None:
        calls.append(server)
        raise RuntimeError("it broke")

    async with running(settings(), [], HealthChecks(), feed=feed, registry=CollectorRegistry()) as servers:
        await eventually(lambda: len(calls) >= 2)

    assert set(calls) == {servers.grpc}


async def test_if_the_http_address_is_taken_the_grpc_address_is_free_again() -> None:
    (grpc_port,) = free_ports(1)
    async with running(settings(), [], HealthChecks(), registry=CollectorRegistry()) as other:
        taken = settings(grpc_listen=f"127.0.0.1:{grpc_port}", http_listen=f"127.0.0.1:{other.http.port}")
        with pytest.raises(OSError, match=str(other.http.port)):
            async with running(taken, [], HealthChecks(), registry=CollectorRegistry()):
                pass

        with pytest.raises(grpc.aio.AioRpcError):
            await health(grpc_port)


@pytest.mark.parametrize(("age", "expected"), [(0, None), (1800.0, 1800.0)])
def test_connections_have_no_limit_of_age_if_the_setting_is_zero(age: float, expected: float | None) -> None:
    limits = limits_of(500, StreamAge(age, lambda low, _: low))

    assert limits.max_calls == 500
    assert limits.max_connection_age_seconds == expected
    assert limits.max_connection_age_grace_seconds == age * 1.5 + 60
