"""A gateway for tests of clients: a real gRPC server that gives prepared answers and records requests."""

from __future__ import annotations

import asyncio
import inspect
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from typing import Any, Self

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from workflowsystem.catalog.v1 import workflow_catalog_service_pb2_grpc
from workflowsystem.execution.v1 import execution_pb2, execution_service_pb2_grpc
from workflowsystem.gateway.v1 import watch_service_pb2_grpc

EXECUTION_ID = "01890000-0000-7000-8000-000000000001"
Answer = Any
"""A message, a RefusedError, an asyncio.Event to wait for, or a function that returns a message."""


class RefusedError(Exception):
    """An error that a service answers with: give it to `FakeGateway.answers` instead of a message."""

    def __init__(self, code: grpc.StatusCode, message: str = "no", reason: str = "", **metadata: str) -> None:
        super().__init__(message)
        self.status = status_pb2.Status(code=code.value[0], message=message)
        if reason:
            info = error_details_pb2.ErrorInfo(reason=reason, domain="workflowsystem", metadata=metadata)
            self.status.details.add().Pack(info)


class FakeGateway:
    """Answers the calls of clients that connect to `address`.

        async with FakeGateway() as gateway, Client.connect(gateway.address) as client:
            gateway.answers["StartExecution"] = [execution(workflow_id="orders")]
            await my_program(client)
            assert gateway.requests["StartExecution"][0].workflow_id == "orders"

    `answers` has a list for each method of the contract. The method gives them in order, and repeats the
    last one. An answer is the contract's message, a RefusedError, or a function (also async) that gets the
    request and returns the answer. An asyncio.Event keeps the caller waiting. An answer of WatchExecution is
    a list of messages; a RefusedError in it ends the stream, and an asyncio.Event delays what follows.
    `requests` has the requests, by method.
    """

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = defaultdict(list)
        self.requests: dict[str, list[Any]] = defaultdict(list)
        self.port = 0
        self._server: grpc.aio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def address(self) -> str:
        """The address for `Client.connect`."""
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen: the first time on a free port, later on the same one."""
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        for module in (
            workflow_catalog_service_pb2_grpc,
            execution_service_pb2_grpc,
        ):
            self._register(module)
        watch_service_pb2_grpc.add_WatchServiceServicer_to_server(_Watches(self), self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self._server.start()

    async def stop(self) -> None:
        """Break every call and stop listening, as if the process were killed."""
        if self._server is not None:
            await self._server.stop(0)

    async def answer(self, method: str, request: Any, context: grpc.aio.ServicerContext) -> Any:
        """Record a request and return the method's next answer."""
        self.requests[method].append(request)
        queue = self.answers[method]
        if not queue:
            problem = f"FakeGateway has no answer for {method}: set answers[{method!r}]"
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, problem)
        answer = queue.pop(0) if len(queue) > 1 else queue[0]
        if isinstance(answer, RefusedError):
            await context.abort_with_status(rpc_status.to_status(answer.status))
        if isinstance(answer, asyncio.Event):
            await answer.wait()
        given = answer(request) if callable(answer) else answer
        return await given if inspect.isawaitable(given) else given

    def _register(self, module: Any) -> None:
        """Serve every method of the module's service from `answers`."""
        (add,) = [value for name, value in vars(module).items() if name.startswith("add_")]
        servicer_name = add.__name__.removeprefix("add_").removesuffix("_to_server")
        base = getattr(module, servicer_name)
        methods = {
            name: _unary(self, name)
            for name in vars(base)
            if not name.startswith("_") and name != "StreamExecutionEvents"
        }
        add(type("Fake" + servicer_name, (base,), methods)(), self._server)


def _unary(gateway: FakeGateway, name: str) -> Any:
    async def method(_: Any, request: Any, context: grpc.aio.ServicerContext) -> Any:
        return await gateway.answer(name, request, context)

    return method


class _Watches(watch_service_pb2_grpc.WatchServiceServicer):
    """Sends the messages of the next answer, one after the other."""

    def __init__(self, gateway: FakeGateway) -> None:
        self._gateway = gateway

    async def WatchExecution(  # noqa: N802 - the method's name in the contract
        self, request: Any, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[Any]:
        """Serve one watch: the contract's method."""
        for step in await self._gateway.answer("WatchExecution", request, context):
            if isinstance(step, asyncio.Event):
                await step.wait()
            elif isinstance(step, RefusedError):
                await context.abort_with_status(rpc_status.to_status(step.status))
            else:
                yield step


def held(gate: asyncio.Event, answer: Any) -> Callable[[Any], Any]:
    """Return an answer that waits until the gate is set."""

    async def give(_: Any) -> Any:
        await gate.wait()
        return answer

    return give


def execution(**fields: Any) -> execution_pb2.Execution:
    """Return the message of a running execution; `fields` are fields of the contract's Execution."""
    defaults: dict[str, Any] = {
        "execution_id": EXECUTION_ID,
        "status": execution_pb2.EXECUTION_STATUS_RUNNING,
    }
    return execution_pb2.Execution(**(defaults | fields))
