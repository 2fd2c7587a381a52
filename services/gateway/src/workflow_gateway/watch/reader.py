"""Reads of executions and their events from the orchestrator, always from the primary.

A read raises ServiceError if asking again cannot help, and UpstreamAwayError if it can: the caller waits
until the orchestrator, its database and the network between them are back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import grpc
from prometheus_client import REGISTRY, CollectorRegistry, Counter
from service_kit.errors import OVERLOADED, ServiceError, from_rpc_error
from workflowsystem.execution.v1.execution_pb2 import EXECUTION_VIEW_BASIC
from workflowsystem.execution.v1.execution_service_pb2 import (
    BatchGetExecutionProgressRequest,
    GetExecutionRequest,
    ListExecutionEventsRequest,
)
from workflowsystem.execution.v1.execution_service_pb2_grpc import ExecutionServiceStub
from workflowsystem.type.v1.read_consistency_pb2 import ReadConsistency

from workflow_gateway.watch.messages import ExecutionKey, Page, Snapshot, event_message, snapshot_of

READ_TIMEOUT_SECONDS = 5.0
MAX_CONCURRENT_READS = 64
# An event carries a failure of up to 64 KiB, and a message of gRPC at most 4 MiB.
PAGE_EVENTS = 60

_STRONG = ReadConsistency(level=ReadConsistency.LEVEL_STRONG)
_HOPELESS = frozenset(
    {
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)


def _is_too_large(error: ServiceError) -> bool:
    """Return whether gRPC refused a message for its size.

    An overloaded orchestrator gives the reason OVERLOADED.
    """
    return error.code is grpc.StatusCode.RESOURCE_EXHAUSTED and error.reason != OVERLOADED


class UpstreamAwayError(Exception):
    """The orchestrator did not answer; ask again after a back-off."""


class ExecutionReader:
    """The reads of all feeds: at most MAX_CONCURRENT_READS at a time, and further ones wait."""

    def __init__(self, channel: grpc.aio.Channel, registry: CollectorRegistry = REGISTRY) -> None:
        self._stub = ExecutionServiceStub(channel)
        self._turns = asyncio.Semaphore(MAX_CONCURRENT_READS)
        self._reads = Counter(
            "workflow_watch_reads", "Reads from the orchestrator for watchers.", ["method"], registry=registry
        )

    async def snapshot(self, key: ExecutionKey) -> Snapshot:
        """Return the execution in the BASIC view.

        Raise ServiceError (NOT_FOUND, ...) or UpstreamAwayError.
        """
        request = GetExecutionRequest(
            namespace=key.namespace,
            execution_id=str(key.execution_id),
            view=EXECUTION_VIEW_BASIC,
            read_consistency=_STRONG,
        )
        return snapshot_of(key, await self._call("GetExecution", self._stub.GetExecution, request))

    async def events_after(self, key: ExecutionKey, sequence: int) -> Page:
        """Return up to PAGE_EVENTS events. Raise ServiceError (NOT_FOUND, ...) or UpstreamAwayError."""
        request = ListExecutionEventsRequest(
            namespace=key.namespace,
            execution_id=str(key.execution_id),
            after_sequence=sequence,
            page_size=PAGE_EVENTS,
            read_consistency=_STRONG,
        )
        response = await self._call("ListExecutionEvents", self._stub.ListExecutionEvents, request)
        return Page([event_message(key, event) for event in response.events], bool(response.next_page_token))

    async def last_sequences(self, namespace: str, execution_ids: Sequence[UUID]) -> Mapping[UUID, int]:
        """Return the last sequence number of each execution that exists, for up to 1,000 executions.

        Raise ServiceError (UNIMPLEMENTED from an older release, ...) or UpstreamAwayError.
        """
        request = BatchGetExecutionProgressRequest(
            namespace=namespace, execution_ids=[str(execution_id) for execution_id in execution_ids]
        )
        method = self._stub.BatchGetExecutionProgress
        response = await self._call("BatchGetExecutionProgress", method, request)
        return {UUID(each.execution_id): each.last_sequence for each in response.executions}

    async def _call(self, name: str, method: Callable[..., Awaitable[Any]], request: Any) -> Any:
        async with self._turns:
            self._reads.labels(name).inc()
            try:
                return await method(request, timeout=READ_TIMEOUT_SECONDS)
            except grpc.aio.AioRpcError as error:
                known = from_rpc_error(error)
                if error.code() in _HOPELESS or _is_too_large(known):
                    raise known from None
                raise UpstreamAwayError(f"{name}: {error.code().name}: {error.details()}") from None
