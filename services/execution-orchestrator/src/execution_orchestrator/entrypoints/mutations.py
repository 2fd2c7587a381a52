"""The mutations of ExecutionService. A reply means a commit."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from service_kit.tools.heavy import HeavyThread
from workflow_contract.names import DEFAULT_NAMESPACE
from workflowsystem.execution.v1 import execution_pb2
from workflowsystem.execution.v1 import execution_service_pb2 as pb

from execution_orchestrator.application.engine.pipeline import Pipeline
from execution_orchestrator.application.engine.work import CommandWork, WorkResult
from execution_orchestrator.application.starting.starts import StartRequest, Starts
from execution_orchestrator.domain.commands import (
    CancelExecution,
    Command,
    PauseExecution,
    ReleaseExecution,
    ResumeExecution,
)
from execution_orchestrator.domain.limits import DEFAULT_CANCEL_GRACE
from execution_orchestrator.entrypoints import translate
from execution_orchestrator.entrypoints.start_answers import batch_response, output_chars
from execution_orchestrator.entrypoints.start_requests import StartRequests

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
        self._requests = StartRequests(starts)
        self._pipeline = pipeline
        self._answers = HeavyThread("answers")

    async def StartExecution(
        self, request: pb.StartExecutionRequest, context: Any
    ) -> execution_pb2.Execution:
        return await self._reply(await self._starts.start(await self._requests.one(request)))

    async def BatchStartExecutions(
        self, request: pb.BatchStartExecutionsRequest, context: Any
    ) -> pb.BatchStartExecutionsResponse:
        asked = await self._requests.all(request.requests)
        started = iter(
            await self._starts.start_all([each for each in asked if isinstance(each, StartRequest)])
        )
        outcomes = [next(started) if isinstance(each, StartRequest) else each for each in asked]
        await _published([each for each in outcomes if isinstance(each, WorkResult)])
        return await self._answers.run(output_chars(outcomes), batch_response, outcomes)

    async def PauseExecution(
        self, request: pb.PauseExecutionRequest, context: Any
    ) -> execution_pb2.Execution:
        return await self._steer(request, PauseExecution(request.reason, _actor_of(context)))

    async def ResumeExecution(
        self, request: pb.ResumeExecutionRequest, context: Any
    ) -> execution_pb2.Execution:
        return await self._steer(request, ResumeExecution(request.reason))

    async def CancelExecution(
        self, request: pb.CancelExecutionRequest, context: Any
    ) -> execution_pb2.Execution:
        grace: timedelta = request.grace.ToTimedelta() if request.HasField("grace") else DEFAULT_CANCEL_GRACE
        return await self._steer(request, CancelExecution(grace, request.reason))

    async def ReleaseExecution(
        self, request: pb.ReleaseExecutionRequest, context: Any
    ) -> execution_pb2.Execution:
        return await self._steer(request, ReleaseExecution(request.reason))

    async def _steer(self, request: Any, command: Command) -> execution_pb2.Execution:
        namespace = request.namespace or DEFAULT_NAMESPACE
        work = CommandWork(UUID(request.execution_id), command, namespace, visible=True)
        return await self._reply(await self._pipeline.submit(work))

    async def _reply(self, result: WorkResult) -> execution_pb2.Execution:
        await _published([result])
        size = len(result.execution.output or "")
        return await self._answers.run(
            size, translate.execution_message, result.execution, consistency_token=result.token
        )


def _actor_of(context: Any) -> str:
    sent = dict(context.invocation_metadata() or ()).get(ACTOR_KEY, "")
    return str(sent)[:MAX_ACTOR_CHARS]


async def _published(results: Sequence[WorkResult]) -> None:
    """Wait a moment until what follows from the commits can be seen in Redis."""
    waits = {result.published for result in results if result.published is not None}
    if any(not wait.done() for wait in waits):
        await asyncio.wait(waits, timeout=PUBLISH_SECONDS)
