"""The reads of ExecutionService: get, list, wait, stream, what is in use, what waits in the queues, and which
workers are connected.
"""

from bisect import bisect_right
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import astuple
from typing import Any
from uuid import UUID

from service_kit.errors import FIELD_INVALID, FieldViolation, ServiceError, invalid_argument
from service_kit.rpc import paging
from service_kit.tools.heavy import HeavyThread
from workflow_contract.names import DEFAULT_NAMESPACE
from workflowsystem.execution.v1 import execution_pb2
from workflowsystem.execution.v1 import execution_service_pb2 as pb

from execution_orchestrator.application.engine.work import ExecutionNotFoundError
from execution_orchestrator.application.ports import reads as ports_reads
from execution_orchestrator.application.ports.queue import Queue
from execution_orchestrator.application.ports.reads import ExecutionFilter
from execution_orchestrator.application.ports.task_runs import TaskChoice, TaskRunFilter
from execution_orchestrator.application.watching.usage import Usage
from execution_orchestrator.application.watching.waiters import MAX_LOOK, Waiters
from execution_orchestrator.application.workers.worker_list import WorkerFilter, WorkerList
from execution_orchestrator.domain.execution import Execution
from execution_orchestrator.domain.task import NO_ITEM, TaskKey
from execution_orchestrator.entrypoints import translate
from execution_orchestrator.entrypoints.full_view import (
    details_message,
    task_run_messages,
    weight_of,
    weight_of_runs,
)

DEFAULT_WAIT_SECONDS = 30.0
UNCHECKED_READS = frozenset({"/workflowsystem.execution.v1.ExecutionService/BatchGetExecutionProgress"})
"""Methods whose requests are checked here alone."""
SEQUENCE_KEY = paging.number_key(2**63 - 1)
VERSION_KEY = paging.number_key(2**31 - 1)


class Reads:
    """Everything that changes nothing."""

    def __init__(
        self, reads: ports_reads.Reads, queue: Queue, waiters: Waiters, usage: Usage, workers: WorkerList
    ) -> None:
        self._reads = reads
        self._usage = usage
        self._queue = queue
        self._waiters = waiters
        self._workers = workers
        self._answers = HeavyThread("answers")

    async def GetExecution(self, request: pb.GetExecutionRequest, context: Any) -> execution_pb2.Execution:
        details = await self._reads.get_execution(
            request.namespace or DEFAULT_NAMESPACE,
            UUID(request.execution_id),
            full=request.view == execution_pb2.EXECUTION_VIEW_FULL,
            task=_choice_of(request),
            consistency=translate.consistency_of(request.read_consistency),
        )
        if details is None:
            raise ExecutionNotFoundError(request.execution_id)
        return await self._answers.run(weight_of(details), details_message, details)

    async def ListExecutions(
        self, request: pb.ListExecutionsRequest, context: Any
    ) -> pb.ListExecutionsResponse:
        where = _filter_of(request)
        bound = paging.filter_hash("ListExecutions", *_bound_to(where))
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
        where = _task_run_filter_of(request)
        bound = paging.filter_hash(
            "ListTaskRuns",
            *(where.namespace, where.execution_id, where.task_id, sorted(where.statuses), where.min_attempt),
        )
        page = await self._reads.list_task_runs(
            where,
            limit=paging.page_size(request.page_size),
            after=paging.decode_one(request.page_token, _task_key, filter_hash=bound),
            consistency=translate.consistency_of(request.read_consistency),
        )
        if page is None:
            raise ExecutionNotFoundError(request.execution_id)
        weight = weight_of_runs(page.task_runs)
        task_runs = await self._answers.run(weight, task_run_messages, page.task_runs, full=where.full)
        after = page.next_after
        if len(task_runs) < len(page.task_runs):
            after = page.task_runs[len(task_runs) - 1].run.key
        token = "" if after is None else paging.encode([_key_text(after)], filter_hash=bound)
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
        key = paging.decode_one(request.page_token, SEQUENCE_KEY, filter_hash=bound)
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
        # `_execution_ids` checks a thousand ids at a tenth of the cost of the general check.
        namespace = request.namespace or DEFAULT_NAMESPACE
        found = await self._reads.look(_execution_ids(request.execution_ids))
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
        below = paging.decode_one(request.page_token, VERSION_KEY, filter_hash=bound)
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


def _fitting(executions: Sequence[Execution]) -> list[execution_pb2.Execution]:
    return paging.fitting(map(translate.execution_message, executions))


def _choice_of(request: pb.GetExecutionRequest) -> TaskChoice | None:
    if not request.task_id:
        return None
    return TaskChoice(request.task_id, request.item if request.HasField("item") else None)


def _task_run_filter_of(request: pb.ListTaskRunsRequest) -> TaskRunFilter:
    return TaskRunFilter(
        request.namespace or DEFAULT_NAMESPACE,
        UUID(request.execution_id),
        request.task_id,
        tuple(map(translate.task_status_of, request.statuses)),
        request.min_attempt,
        full=request.view == execution_pb2.TASK_RUN_VIEW_FULL,
    )


def _key_text(key: TaskKey) -> str:
    return f"{key.task_id}/{key.item}"


def _task_key(value: Any) -> TaskKey:
    """The key that `_key_text` wrote. Raise ValueError for anything else."""
    task_id, _, item = paging.text_key(value).rpartition("/")
    if not NO_ITEM <= int(item) < 2**31:
        raise ValueError("no task run has this item")
    return TaskKey(task_id, int(item))


def _execution_ids(texts: Sequence[str]) -> list[UUID]:
    """The ids of a request. Raises ServiceError INVALID_ARGUMENT for a wrong id, and for none or too many."""
    if not 0 < len(texts) <= MAX_LOOK:
        raise _wrong("execution_ids", f"must have 1 to {MAX_LOOK:,} ids, but has {len(texts):,}")
    ids = []
    for position, text in enumerate(texts):
        try:
            ids.append(UUID(text))
        except ValueError:
            raise _wrong(f"execution_ids[{position}]", f"must be a UUID, but is {text[:64]!r}") from None
    return ids


def _wrong(field: str, problem: str) -> ServiceError:
    violation = FieldViolation(field, problem)
    return invalid_argument(FIELD_INVALID, f"{field} {problem}: correct it", violation)


def _filter_of(request: pb.ListExecutionsRequest) -> ExecutionFilter:
    since = request.create_time_from if request.HasField("create_time_from") else None
    before = request.create_time_before if request.HasField("create_time_before") else None
    return ExecutionFilter(
        request.namespace or DEFAULT_NAMESPACE,
        request.workflow_id,
        tuple(map(translate.status_of, request.statuses)),
        dict(request.labels),
        None if since is None else translate.time_of(since),
        None if before is None else translate.time_of(before),
        request.quarantined,
    )


def _bound_to(where: ExecutionFilter) -> tuple[object, ...]:
    return (
        where.namespace,
        where.workflow_id,
        sorted(where.statuses),
        sorted(where.labels.items()),
        where.create_time_from,
        where.create_time_before,
        *(["quarantined"] if where.quarantined else []),  # so that tokens without the filter stay valid
    )
