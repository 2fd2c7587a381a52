"""The load generator. It uses generated stubs on several connections, so that it is not the bottleneck."""

import asyncio
import itertools
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct
from workflowsystem.catalog.v1 import (
    definition_pb2,
    workflow_catalog_service_pb2,
    workflow_catalog_service_pb2_grpc,
)
from workflowsystem.execution.v1 import execution_pb2, execution_service_pb2, execution_service_pb2_grpc

CONNECTIONS = 4
WORKFLOW_ID = "benchmark-noop"
CALL_TIMEOUT_SECONDS = 30.0
WAIT_SECONDS = 20
_OVERHEAD_BYTES = len('{"data":""}')


class Client:
    """Starts executions of the no-op workflow and waits for them."""

    def __init__(self, address: str, connections: int = CONNECTIONS) -> None:
        # Channels to one address share a connection, unless each has a separate pool.
        options = [("grpc.use_local_subchannel_pool", 1)]
        self._channels = [grpc.aio.insecure_channel(address, options=options) for _ in range(connections)]
        stubs = [execution_service_pb2_grpc.ExecutionServiceStub(channel) for channel in self._channels]
        self._stubs = itertools.cycle(stubs)

    async def start(self, request: execution_service_pb2.StartExecutionRequest) -> str:
        """Start an execution; return its id after the commit."""
        started = await next(self._stubs).StartExecution(request, timeout=CALL_TIMEOUT_SECONDS)
        return str(started.execution_id)

    async def start_batch(self, requests: Sequence[execution_service_pb2.StartExecutionRequest]) -> list[str]:
        """Start many executions with one call; return their ids. Raise RuntimeError if one was refused."""
        batch = execution_service_pb2.BatchStartExecutionsRequest(requests=requests)
        answer = await next(self._stubs).BatchStartExecutions(batch, timeout=CALL_TIMEOUT_SECONDS)
        refused = [each.error for each in answer.results if each.HasField("error")]
        if refused:
            raise RuntimeError(f"{len(refused)} starts were refused, the first with: {refused[0].message}")
        return [each.execution.execution_id for each in answer.results]

    async def wait(self, execution_id: str) -> execution_pb2.Execution:
        """Wait for the end of an execution and return it. Raise RuntimeError if it is not Completed."""
        request = execution_service_pb2.WaitExecutionRequest(
            execution_id=execution_id, timeout=Duration(seconds=WAIT_SECONDS)
        )
        execution: execution_pb2.Execution = await next(self._stubs).WaitExecution(
            request, timeout=CALL_TIMEOUT_SECONDS
        )
        if execution.status != execution_pb2.EXECUTION_STATUS_COMPLETED:
            status = execution_pb2.ExecutionStatus.Name(execution.status)
            raise RuntimeError(f"execution {execution_id} is {status} instead of Completed")
        return execution

    async def __aenter__(self) -> Self:
        await asyncio.gather(*(channel.channel_ready() for channel in self._channels))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*(channel.close() for channel in self._channels))


def start_request(payload_bytes: int) -> execution_service_pb2.StartExecutionRequest:
    """Return a request whose input has this number of bytes as JSON; 0 means no input."""
    request = execution_service_pb2.StartExecutionRequest(workflow_id=WORKFLOW_ID)
    if payload_bytes:
        payload = Struct()
        payload["data"] = "x" * (payload_bytes - _OVERHEAD_BYTES)
        request.input.CopyFrom(payload)
    return request


async def publish_noop(catalog: str) -> None:
    """Publish the workflow of one no-op task, which returns its input."""
    task = definition_pb2.TaskDefinition(id="only", type="noop")
    task.input.string_value = "${input}"
    definition = definition_pb2.WorkflowDefinition(description="One task that does nothing.", tasks=[task])
    async with grpc.aio.insecure_channel(catalog) as channel:
        stub = workflow_catalog_service_pb2_grpc.WorkflowCatalogServiceStub(channel)
        messages = workflow_catalog_service_pb2
        create = messages.CreateWorkflowRequest(workflow_id=WORKFLOW_ID, definition=definition)
        await stub.CreateWorkflow(create, timeout=CALL_TIMEOUT_SECONDS)
        publish = messages.PublishWorkflowRequest(workflow_id=WORKFLOW_ID)
        await stub.PublishWorkflow(publish, timeout=CALL_TIMEOUT_SECONDS)
