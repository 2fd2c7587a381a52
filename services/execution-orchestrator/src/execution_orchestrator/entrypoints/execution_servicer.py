"""ExecutionService: every method of the contract. A reply to a mutation means a commit."""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import astuple
from datetime import timedelta
from typing import Any
from uuid import UUID

from service_kit.rpc import paging
from service_kit.tools.heavy import HeavyThread
from workflow_contract.names import DEFAULT_NAMESPACE
from workflowsystem.execution.v1 import execution_pb2, execution_service_pb2_grpc
from workflowsystem.execution.v1 import execution_service_pb2 as pb

from execution_orchestrator.application.engine.pipeline import Pipeline
from execution_orchestrator.application.engine.work import CommandWork, ExecutionNotFoundError, WorkResult
from execution_orchestrator.application.ports.queue import Queue
from execution_orchestrator.application.ports.reads import Reads
from execution_orchestrator.application.starting.starts import StartRequest, Starts
from execution_orchestrator.application.watching.usage import Usage
from execution_orchestrator.application.watching.waiters import Waiters
from execution_orchestrator.application.workers.worker_list import WorkerFilter, WorkerList
from execution_orchestrator.domain.commands import (
    CancelExecution,
    Command,
    PauseExecution,
    ReleaseExecution,
    ResumeExecution,
)
from execution_orchestrator.domain.execution import Execution
from execution_orchestrator.domain.limits import DEFAULT_CANCEL_GRACE
from execution_orchestrator.entrypoints import read_requests, translate
from execution_orchestrator.entrypoints.full_view import (
    details_message,
    task_run_messages,
    weight_of,
    weight_of_runs,
)
from execution_orchestrator.entrypoints.start_answers import batch_response, output_chars
from execution_orchestrator.entrypoints.start_requests import StartRequests

ACTOR_KEY = "x-actor"
"""The metadata key in which callers say who they are. Nobody verifies it."""

MAX_ACTOR_CHARS = 256
PUBLISH_SECONDS = 0.25
"""The longest time that a reply waits until Redis has the hints. The sweep restores lost hints, so a slow
Redis delays no reply for longer.
"""

DEFAULT_WAIT_SECONDS = 30.0
UNCHECKED_READS = frozenset({"/workflowsystem.execution.v1.ExecutionService/BatchGetExecutionProgress"})
"""The methods that check their requests themselves; the general check leaves these out."""


class ExecutionServicer(execution_service_pb2_grpc.ExecutionServiceServicer):
    """The methods of the contract: protos/workflowsystem/execution/v1/execution_service.proto."""

    def __init__(
        self,
        starts: Starts,
        pipeline: Pipeline,
        reads: Reads,
        queue: Queue,
        waiters: Waiters,
        usage: Usage,
        workers: WorkerList,
    ) -> None:
        self._starts = starts
        self._requests = StartRequests(starts)
        self._pipeline = pipeline
        self._reads = reads
        self._queue = queue
        self._waiters = waiters
        self._usage = usage
        self._workers = workers
        self._answers = HeavyThread("answers")

    # -- mutations ------------------------------------------------------------------------------

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

    # -- reads ----------------------------------------------------------------------------------

    async def GetExecution(self, request: pb.GetExecutionRequest, context: Any) -> execution_pb2.Execution:
        details = await self._reads.get_execution(
            request.namespace or DEFAULT_NAMESPACE,
            UUID(request.execution_id),
            full=request.view == execution_pb2.EXECUTION_VIEW_FULL,
            task=read_requests.choice_of(request),
            consistency=translate.consistency_of(request.read_consistency),
        )
        if details is None:
            raise ExecutionNotFoundError(request.execution_id)
        return await self._answers.run(weight_of(details), details_message, details)

    async def ListExecutions(
        self, request: pb.ListExecutionsRequest, context: Any
    ) -> pb.ListExecutionsResponse:
        where = read_requests.execution_filter_of(request)
        bound = read_requests.executions_hash(where)
        key = paging.decode_one(request.page_token, paging.uuid_key, filter_hash=bound)
        page = await self._reads.list_executions(
            where,
            limit=paging.page_size(request.page_size),
            before=key,
            consistency=translate.consistency_of(request.read_consistency),
        )
        size = sum(len(execution.output or "") for execution in page.executions)
        executions = await self._answers.run(size, _fitting, page.executions)
        before = page.next_before
        if len(executions) < len(page.executions):
            before = page.executions[len(executions) - 1].id
        token = "" if before is None else paging.encode([str(before)], filter_hash=bound)
        return pb.ListExecutionsResponse(executions=executions, next_page_token=token)

    async def ListTaskRuns(self, request: pb.ListTaskRunsRequest, context: Any) -> pb.ListTaskRunsResponse:
        where = read_requests.task_run_filter_of(request)
        bound = read_requests.task_runs_hash(where)
        page = await self._reads.list_task_runs(
            where,
            limit=paging.page_size(request.page_size),
            after=paging.decode_one(request.page_token, read_requests.task_key, filter_hash=bound),
            consistency=translate.consistency_of(request.read_consistency),
        )
        if page is None:
            raise ExecutionNotFoundError(request.execution_id)
        weight = weight_of_runs(page.task_runs)
        task_runs = await self._answers.run(weight, task_run_messages, page.task_runs, full=where.full)
        after = page.next_after
        if len(task_runs) < len(page.task_runs):
            after = page.task_runs[len(task_runs) - 1].run.key
        token = (
            "" if after is None else paging.encode([read_requests.task_key_text(after)], filter_hash=bound)
        )
        return pb.ListTaskRunsResponse(task_runs=task_runs, next_page_token=token)

    async def WaitExecution(self, request: pb.WaitExecutionRequest, context: Any) -> execution_pb2.Execution:
        given = request.HasField("timeout")
        timeout = request.timeout.ToTimedelta().total_seconds() if given else DEFAULT_WAIT_SECONDS
        namespace = request.namespace or DEFAULT_NAMESPACE
        execution = await self._waiters.until_final(
            namespace, UUID(request.execution_id), timeout, request.run_number
        )
        return await self._answers.run(len(execution.output or ""), translate.execution_message, execution)

    async def ListExecutionEvents(
        self, request: pb.ListExecutionEventsRequest, context: Any
    ) -> pb.ListExecutionEventsResponse:
        namespace, execution_id = request.namespace or DEFAULT_NAMESPACE, UUID(request.execution_id)
        bound = paging.filter_hash("ListExecutionEvents", namespace, execution_id, request.after_sequence)
        key = paging.decode_one(request.page_token, read_requests.SEQUENCE_KEY, filter_hash=bound)
        page = await self._reads.list_events(
            namespace,
            execution_id,
            after_sequence=request.after_sequence if key is None else key,
            limit=paging.page_size(request.page_size),
            consistency=translate.consistency_of(request.read_consistency),
        )
        if page is None:
            raise ExecutionNotFoundError(request.execution_id)
        events = [translate.event_message(namespace, execution_id, event) for event in page.events]
        token = paging.encode([page.events[-1].sequence], filter_hash=bound) if page.more else ""
        return pb.ListExecutionEventsResponse(events=events, next_page_token=token)

    async def BatchGetExecutionProgress(
        self, request: pb.BatchGetExecutionProgressRequest, context: Any
    ) -> pb.BatchGetExecutionProgressResponse:
        # The ids are checked here: for a thousand of them the general check takes ten times as long.
        namespace = request.namespace or DEFAULT_NAMESPACE
        found = await self._reads.look(read_requests.execution_ids_of(request.execution_ids))
        return pb.BatchGetExecutionProgressResponse(
            executions=[
                pb.ExecutionProgress(
                    execution_id=str(ring.execution_id),
                    last_sequence=ring.last_sequence,
                    status=translate.status_value(ring.status),
                )
                for ring in found
                if ring.namespace == namespace
            ]
        )

    async def StreamExecutionEvents(
        self, request: pb.StreamExecutionEventsRequest, context: Any
    ) -> AsyncIterator[pb.StreamExecutionEventsResponse]:
        namespace, execution_id = request.namespace or DEFAULT_NAMESPACE, UUID(request.execution_id)
        pages = self._waiters.events(namespace, execution_id, request.after_sequence)
        async with aclosing(pages):
            async for events in pages:
                messages = (translate.event_message(namespace, execution_id, event) for event in events)
                yield pb.StreamExecutionEventsResponse(events=messages)

    async def GetWorkflowUsage(self, request: pb.GetWorkflowUsageRequest, context: Any) -> pb.WorkflowUsage:
        namespace = request.namespace or DEFAULT_NAMESPACE
        consistency = translate.consistency_of(request.read_consistency)
        bound = paging.filter_hash("GetWorkflowUsage", namespace, request.workflow_id)
        below = paging.decode_one(request.page_token, read_requests.VERSION_KEY, filter_hash=bound)
        usage = await self._usage.of(namespace, request.workflow_id, request.task_types, consistency, below)
        following = usage.next_below_version
        return pb.WorkflowUsage(
            namespace=namespace,
            workflow_id=request.workflow_id,
            versions=map(translate.version_usage_message, usage.versions),
            task_types_without_worker=usage.task_types_without_worker,
            next_page_token="" if following is None else paging.encode([following], filter_hash=bound),
        )

    async def GetQueueStats(self, request: pb.GetQueueStatsRequest, context: Any) -> pb.GetQueueStatsResponse:
        if request.queue:
            stats = await self._queue.stats([request.queue])
            return pb.GetQueueStatsResponse(queues=map(translate.queue_message, stats))
        bound = paging.filter_hash("GetQueueStats")
        key = paging.decode_one(request.page_token, paging.text_key, filter_hash=bound)
        names = await self._queue.queues()
        first = 0 if key is None else bisect_right(names, key)
        page = names[first : first + paging.page_size(request.page_size or paging.MAX_PAGE_SIZE)]
        queues = paging.fitting(map(translate.queue_message, await self._queue.stats(page)))
        more = first + len(queues) < len(names)
        return pb.GetQueueStatsResponse(
            queues=queues,
            next_page_token=paging.encode([queues[-1].queue], filter_hash=bound) if more else "",
        )

    async def ListWorkers(self, request: pb.ListWorkersRequest, context: Any) -> pb.ListWorkersResponse:
        where = WorkerFilter(
            request.namespace or DEFAULT_NAMESPACE, request.task_type, request.queue, request.worker_id
        )
        bound = paging.filter_hash("ListWorkers", *astuple(where))
        after = paging.decode_one(request.page_token, paging.uuid_key, filter_hash=bound)
        page = await self._workers.page(where, limit=paging.page_size(request.page_size), after=after)
        following = page.next_after
        token = "" if following is None else paging.encode([str(following)], filter_hash=bound)
        return pb.ListWorkersResponse(workers=page.workers, next_page_token=token)


def _actor_of(context: Any) -> str:
    sent = dict(context.invocation_metadata() or ()).get(ACTOR_KEY, "")
    return str(sent)[:MAX_ACTOR_CHARS]


async def _published(results: Sequence[WorkResult]) -> None:
    """Wait until Redis has the hints of these commits, at most PUBLISH_SECONDS."""
    waits = {result.published for result in results if result.published is not None}
    if any(not wait.done() for wait in waits):
        await asyncio.wait(waits, timeout=PUBLISH_SECONDS)


def _fitting(executions: Sequence[Execution]) -> list[execution_pb2.Execution]:
    return paging.fitting(map(translate.execution_message, executions))
