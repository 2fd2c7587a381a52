"""Calls of every method through the gateway, and the answers that no caller may get."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from service_kit.errors import ServiceError, from_rpc_error
from workflowsystem.catalog.v1 import workflow_catalog_service_pb2 as catalog_pb2
from workflowsystem.execution.v1 import execution_service_pb2 as execution_pb2
from workflowsystem.gateway.v1 import watch_service_pb2 as watch_pb2
from workflowsystem.worker.v1 import worker_service_pb2 as worker_pb2

FILES = (execution_pb2, watch_pb2, worker_pb2, catalog_pb2)
METHODS = {
    f"/{service.full_name}/{method.name}": method
    for file in FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
CATALOG = "/workflowsystem.catalog.v1.WorkflowCatalogService/"
EXECUTIONS = "/workflowsystem.execution.v1.ExecutionService/"
NEVER = {
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.UNAVAILABLE,  # which clients try again
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.DATA_LOSS,
}
CALL_SECONDS = 60.0


class Caller:
    """Calls methods by name, and notes each answer that no caller may get."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self.wrong: list[str] = []
        self.calls = 0

    async def call(self, path: str, request: Message, name: str = "", **options: Any) -> Any:
        """The first answer, or the error."""
        method = METHODS[path]
        try:
            return await self._answer(path, method, request, options)
        except grpc.aio.AioRpcError as error:
            found = from_rpc_error(error)
            if error.code() in NEVER or not found.reason:
                self.wrong.append(f"{method.name} with {name}: {error.code().name} {error.details()}")
            if error.code() is grpc.StatusCode.INVALID_ARGUMENT and not _names_what_is_wrong(found):
                self.wrong.append(
                    f"{method.name} with {name}: no BadRequest with a reason: {error.details()}"
                )
            return found
        finally:
            self.calls += 1

    async def _answer(self, path: str, method: MethodDescriptor, request: Message, options: Any) -> Any:
        options = {"timeout": CALL_SECONDS, **options}
        answer = GetMessageClass(method.output_type).FromString
        coding = {"request_serializer": _bytes, "response_deserializer": answer}
        if method.client_streaming:
            stream = self._channel.stream_stream(path, **coding)(_session(request), **options)
        elif method.server_streaming:
            stream = self._channel.unary_stream(path, **coding)(request, **options)
        else:
            return await self._channel.unary_unary(path, **coding)(request, **options)
        return [message async for message in stream]


def _names_what_is_wrong(error: ServiceError) -> bool:
    return bool(error.violations) and all(violation.reason for violation in error.violations)


def _bytes(message: Message) -> bytes:
    return message.SerializeToString()


async def _session(request: Any) -> AsyncIterator[Any]:
    """The messages of a session; the worker closes its side then, and the orchestrator ends the session."""
    if not request.HasField("hello"):
        yield session_base("hello")
    yield request


def session_base(kind: str) -> Any:
    task = {
        "execution_id": "018f0000-0000-7000-8000-000000000000",
        "task_id": "a",
        "item": 0,
        "epoch": 1,
        "token": base64.b64encode(b"t" * 16).decode(),
    }
    hello = {
        "worker_id": "w",
        "boot_id": "b",
        "namespace": "default",
        "task_types": ["noop"],
        "queues": ["default"],
        "slots": 1,
        "sdk": "test",
    }
    messages: dict[str, Any] = {
        "hello": hello,
        "credits": {"credits": 1},
        "results": {"results": [{"task": task, "output": "e30="}]},
        "heartbeats": {"heartbeat_id": 1, "heartbeats": [{"task": task, "handler_alive": True}]},
        "draining": {},
    }
    return ParseDict({kind: messages[kind]}, worker_pb2.WorkerMessage(), ignore_unknown_fields=True)


async def ended_execution(caller: Caller) -> str:
    """An execution that is final, so that no watch and no wait of it lasts."""
    start = execution_pb2.StartExecutionRequest(workflow_id="flow")
    started = await caller.call(f"{EXECUTIONS}StartExecution", start)
    assert hasattr(started, "execution_id"), started
    cancel = execution_pb2.CancelExecutionRequest(execution_id=started.execution_id)
    await caller.call(f"{EXECUTIONS}CancelExecution", cancel)
    return str(started.execution_id)
