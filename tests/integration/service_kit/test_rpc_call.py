"""A task may outlive the call that started it, and then reads no memory of the call."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry
from service_kit.errors import not_found
from service_kit.rpc.channel import connect
from service_kit.rpc.rpc_metrics import RpcMetrics
from service_kit.rpc.server import GrpcServer, Registration
from service_kit.tools.rpc_call import current_call

NAME = "test.v1.Tasks"
METADATA = (("x-request-id", "request-1"), ("traceparent", "trace-1"))
SENT = {"request_id": "request-1", "traceparent": "trace-1"}
Fields = dict[str, str]


def fields_of_a_log_line() -> Fields:
    call = current_call.get()
    assert call is not None
    return call.log_fields()


class Handlers(grpc.GenericRpcHandler):
    """Methods that start a task which logs when the test says so, as a pool or a cache may do."""

    def __init__(self, ending: str, *, logs_during_the_call: bool) -> None:
        self.goes_on = asyncio.Event()
        self.begun = asyncio.Event()
        self.task: asyncio.Task[tuple[Fields | None, Fields]]
        self._ending = ending
        self._logs_during_the_call = logs_during_the_call

    def service(self, details: Any) -> Any:
        if details.method.endswith("/Stream"):
            return grpc.unary_stream_rpc_method_handler(self.stream)
        return grpc.unary_unary_rpc_method_handler(self.unary)

    async def unary(self, _: Any, __: Any) -> bytes:
        self.task = asyncio.create_task(self._log())
        await self.begun.wait()
        if self._ending == "failed":
            raise not_found("THING_NOT_FOUND", "no such thing: list them")
        if self._ending == "cancelled":
            await asyncio.Event().wait()
        return b""

    async def stream(self, request: Any, context: Any) -> AsyncIterator[bytes]:
        yield await self.unary(request, context)

    async def _log(self) -> tuple[Fields | None, Fields]:
        during = fields_of_a_log_line() if self._logs_during_the_call else None
        self.begun.set()
        await self.goes_on.wait()
        return during, fields_of_a_log_line()


async def fields_after(method: str, handlers: Handlers, *, cancel: bool) -> tuple[Fields | None, Fields]:
    """What the task logs during the call, and after it has ended and its server is gone."""
    registration = Registration.generic(NAME, handlers)
    server = GrpcServer("127.0.0.1:0", [registration], metrics=RpcMetrics(CollectorRegistry()))
    await server.start()
    async with connect(f"127.0.0.1:{server.port}") as channel:
        make = channel.unary_stream if method == "Stream" else channel.unary_unary
        call: Any = make(f"/{NAME}/{method}")(b"", metadata=METADATA)
        await handlers.begun.wait()
        if cancel:
            call.cancel()
        else:
            with contextlib.suppress(grpc.aio.AioRpcError):
                await (call.read() if method == "Stream" else call)
    await server.stop(0)
    handlers.goes_on.set()
    return await handlers.task


@pytest.mark.parametrize("ending", ["returned", "failed", "cancelled"])
@pytest.mark.parametrize("method", ["Unary", "Stream"])
async def test_what_was_not_read_during_the_call_is_not_read_after_it(method: str, ending: str) -> None:
    handlers = Handlers(ending, logs_during_the_call=False)
    _, after = await fields_after(method, handlers, cancel=ending == "cancelled")

    assert after == {"rpc": f"/{NAME}/{method}"}


@pytest.mark.parametrize("ending", ["returned", "failed", "cancelled"])
@pytest.mark.parametrize("method", ["Unary", "Stream"])
async def test_what_was_read_during_the_call_is_still_known_after_it(method: str, ending: str) -> None:
    handlers = Handlers(ending, logs_during_the_call=True)
    during, after = await fields_after(method, handlers, cancel=ending == "cancelled")

    assert during == after == {"rpc": f"/{NAME}/{method}", **SENT}
