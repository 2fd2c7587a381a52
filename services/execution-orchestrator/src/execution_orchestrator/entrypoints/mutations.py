"""The mutations of ExecutionService. A reply means a commit."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from google.rpc import status_pb2
from service_kit.errors import ServiceError, internal, to_status
from service_kit.ids import new_uuid7
from workflowsystem.execution.v1 import execution_pb2
from workflowsystem.execution.v1 import execution_service_pb2 as pb

from execution_orchestrator.application.pipeline import Pipeline
from execution_orchestrator.application.starts import StartRequest, Starts
from execution_orchestrator.application.work import CommandWork, WorkResult
from execution_orchestrator.domain.commands import (
    CancelExecution,
    Command,
    PauseExecution,
    ReleaseExecution,
    ResumeExecution,
)
from execution_orchestrator.domain.limits import DEFAULT_CANCEL_GRACE
from execution_orchestrator.entrypoints import translate
from execution_orchestrator.entrypoints.error_map import map_error

log = structlog.get_logger(__name__)

DEFAULT_NAMESPACE = "default"
MAX_BATCH_RESPONSE_BYTES = 3 * 1024 * 1024
"""Of a response to BatchStartExecutions with labels; gRPC lets 4 MiB through."""
ACTOR_KEY = "x-actor"
"""Metadata in which callers say who they are. Nobody verifies it."""
MAX_ACTOR_CHARS = 256
PUBLISH_SECONDS = 0.25
"""How long a reply waits for Redis to have the hints. They are only hints: a slow Redis delays no reply
longer.
"""


class Mutations:
    """Start, pause, resume, cancel, release."""

    def __init__(self, starts: Starts, pipeline: Pipeline) -> None:
        self._starts = starts
        self._pipeline = pipeline

    async def StartExecution(
        self, request: pb.StartExecutionRequest, context: Any
    ) -> execution_pb2.Execution:
        """See the contract."""
        return await _reply(await self._starts.start(_start_request(request)))

    async def BatchStartExecutions(
        self, request: pb.BatchStartExecutionsRequest, context: Any
    ) -> pb.BatchStartExecutionsResponse:
        """See the contract."""
        asked = [_checked_request(each) for each in request.requests]
        started = iter(
            await self._starts.start_all([each for each in asked if isinstance(each, StartRequest)])
        )
        outcomes = [next(started) if isinstance(each, StartRequest) else each for each in asked]
        await _published([each for each in outcomes if isinstance(each, WorkResult)])
        return _fitting(pb.BatchStartExecutionsResponse(results=map(_batch_result, outcomes)))

    async def PauseExecution(
        self, request: pb.PauseExecutionRequest, context: Any
    ) -> execution_pb2.Execution:
        """See the contract."""
        return await self._steer(request, PauseExecution(request.reason, _actor_of(context)))

    async def ResumeExecution(
        self, request: pb.ResumeExecutionRequest, context: Any
    ) -> execution_pb2.Execution:
        """See the contract."""
        return await self._steer(request, ResumeExecution(request.reason))

    async def CancelExecution(
        self, request: pb.CancelExecutionRequest, context: Any
    ) -> execution_pb2.Execution:
        """See the contract."""
        grace: timedelta = request.grace.ToTimedelta() if request.HasField("grace") else DEFAULT_CANCEL_GRACE
        return await self._steer(request, CancelExecution(grace, request.reason))

    async def ReleaseExecution(
        self, request: pb.ReleaseExecutionRequest, context: Any
    ) -> execution_pb2.Execution:
        """See the contract."""
        return await self._steer(request, ReleaseExecution(request.reason))

    async def _steer(self, request: Any, command: Command) -> execution_pb2.Execution:
        namespace = request.namespace or DEFAULT_NAMESPACE
        work = CommandWork(UUID(request.execution_id), command, namespace, visible=True)
        return await _reply(await self._pipeline.submit(work))


def _actor_of(context: Any) -> str:
    sent = dict(context.invocation_metadata() or ()).get(ACTOR_KEY, "")
    return str(sent)[:MAX_ACTOR_CHARS]


def _start_request(request: pb.StartExecutionRequest) -> StartRequest:
    return StartRequest(
        request.namespace or DEFAULT_NAMESPACE,
        request.workflow_id,
        request.version,
        translate.payload_text(request.input, "input"),
        dict(request.labels),
        request.request_id,
    )


def _checked_request(request: pb.StartExecutionRequest) -> StartRequest | ServiceError:
    """Each start of a batch answers for itself."""
    try:
        return _start_request(request)
    except ServiceError as error:
        return error


async def _reply(result: WorkResult) -> execution_pb2.Execution:
    await _published([result])
    return translate.execution_message(result.execution, consistency_token=result.token)


async def _published(results: Sequence[WorkResult]) -> None:
    """Wait a moment until what follows from the commits can be seen in Redis."""
    waits = {result.published for result in results if result.published is not None}
    if any(not wait.done() for wait in waits):
        await asyncio.wait(waits, timeout=PUBLISH_SECONDS)


def _fitting(response: pb.BatchStartExecutionsResponse) -> pb.BatchStartExecutionsResponse:
    """Leave out the labels if gRPC would refuse the response: the starts are committed, so answer them."""
    if response.ByteSize() > MAX_BATCH_RESPONSE_BYTES:
        for result in response.results:
            if result.HasField("execution"):
                result.execution.ClearField("labels")
    return response


def _batch_result(outcome: WorkResult | BaseException) -> pb.BatchStartExecutionsResponse.Result:
    result = pb.BatchStartExecutionsResponse.Result
    if isinstance(outcome, WorkResult):
        message = translate.execution_message(outcome.execution, consistency_token=outcome.token)
        return result(execution=message)
    return result(error=_status(outcome))


def _status(error: BaseException) -> status_pb2.Status:
    known = map_error(error) if isinstance(error, Exception) else None
    if known is None:
        error_id = str(new_uuid7())
        log.error("start_failed", error_id=error_id, exc_info=error)
        known = internal(error_id)
    return to_status(known)
