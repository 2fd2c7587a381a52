"""aio servicers under grpcio-testing, on the health service, which gRPC itself brings along."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from grpc.aio import ServerInterceptor
from grpc_health.v1 import health_pb2, health_pb2_grpc
from testkit.grpc_testing import TestServer, answer_of

CHECK, WATCH = "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"
SERVING = health_pb2.HealthCheckResponse.SERVING
Request, Response = health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse


class Health(health_pb2_grpc.HealthServicer):
    """What each service name makes it do."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.cancelled = threading.Event()
        self.remaining: list[float | None] = []

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.remaining.append(context.time_remaining())
        match request.service:
            case "refused":
                await context.abort(grpc.StatusCode.NOT_FOUND, "no such service", (("reason", "NONE"),))
            case "defect":
                raise KeyError("a defect")
            case "slow":
                await self._forever()
            case "metadata":
                assert dict(context.invocation_metadata()) == {"x-request-id": "r-1"}
                context.set_trailing_metadata((("served-by", "me"),))
        return Response(status=SERVING)

    async def Watch(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        for _ in range(2):
            yield Response(status=SERVING)
        if request.service == "refused":
            await context.abort(grpc.StatusCode.OUT_OF_RANGE, "no more")
        if request.service == "slow":
            await self._forever()

    async def _forever(self) -> None:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()


class Noting(ServerInterceptor):
    """Writes down which methods it has let through, and under which name of its own."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self._name = name
        self._notes = notes

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        self._notes.append(f"{self._name} {details.method}")
        return await continuation(details)


@pytest.fixture
def servicer() -> Health:
    return Health()


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def server(servicer: Health, notes: list[str]) -> Iterator[TestServer]:
    def register(server: Any) -> None:
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)

    with TestServer(register, interceptors=[Noting("outer", notes), Noting("inner", notes)]) as server:
        yield server


def test_a_call_is_answered_through_the_interceptors(server: TestServer, notes: list[str]) -> None:
    answer = server.call(CHECK, Request())

    assert (answer.code, answer.response) == (grpc.StatusCode.OK, Response(status=SERVING))
    assert notes == [f"outer {CHECK}", f"inner {CHECK}"]


def test_a_refusal_has_its_code_its_details_and_its_trailing_metadata(server: TestServer) -> None:
    answer = server.call(CHECK, Request(service="refused"))
    assert answer == (None, grpc.StatusCode.NOT_FOUND, "no such service", {"reason": "NONE"})


def test_an_exception_of_a_handler_has_the_code_unknown(server: TestServer) -> None:
    answer = server.call(CHECK, Request(service="defect"))
    assert answer.code is grpc.StatusCode.UNKNOWN


def test_metadata_goes_both_ways(server: TestServer) -> None:
    answer = server.call(CHECK, Request(service="metadata"), metadata=[("x-request-id", "r-1")])
    assert (answer.code, answer.trailing_metadata) == (grpc.StatusCode.OK, {"served-by": "me"})


def test_a_deadline_passes_when_the_test_says_so_and_cancels_the_handler(
    server: TestServer, servicer: Health
) -> None:
    rpc = server.begin(CHECK, Request(service="slow"), timeout=60)
    assert servicer.begun.wait(5)
    assert servicer.remaining == [60]
    server.time.sleep_for(59)
    assert not servicer.cancelled.is_set()
    server.time.sleep_for(2)

    assert answer_of(rpc).code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert servicer.cancelled.wait(5)


def test_a_stream_gives_its_responses_and_then_its_status(server: TestServer) -> None:
    for service, code in (("", grpc.StatusCode.OK), ("refused", grpc.StatusCode.OUT_OF_RANGE)):
        rpc = server.stream(WATCH, Request(service=service))
        assert [rpc.take_response().status for _ in range(2)] == [SERVING, SERVING]
        assert rpc.termination()[1] is code


def test_a_stream_that_its_caller_cancels_ends_the_handler(server: TestServer, servicer: Health) -> None:
    rpc = server.stream(WATCH, Request(service="slow"))
    rpc.take_response()
    assert servicer.begun.wait(5)
    rpc.cancel()

    assert servicer.cancelled.wait(5)
