"""The client's calls for operators: waiting jobs, executions in flight, connected workers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from workflowsystem.execution.v1 import execution_service_pb2 as messages

from workflow_sdk.calls import Caller
from workflow_sdk.connected_workers import ConnectedWorker
from workflow_sdk.models import QueueStats
from workflow_sdk.times import seconds
from workflow_sdk.usage import WorkflowUsage


class OperationCalls:
    """The methods for operators. Mixed into `Client`."""

    namespace: str
    _caller: Caller
    _executions: Any

    async def queue_stats(self, queue: str = "") -> Sequence[QueueStats]:
        """Return the number and the age of the jobs that wait, for every queue or only for `queue`."""
        found: list[QueueStats] = []
        request = messages.GetQueueStatsRequest(queue=queue)
        while True:
            answer = await self._caller.call(self._executions.GetQueueStats, request)
            found += [
                QueueStats(q.queue, q.length, seconds(q.oldest_age) if q.HasField("oldest_age") else None)
                for q in answer.queues
            ]
            if not answer.next_page_token:
                return found
            request.page_token = answer.next_page_token

    async def get_workflow_usage(self, workflow_id: str, task_types: Sequence[str] = ()) -> WorkflowUsage:
        """Return the executions of a workflow that are in flight, and the task types that no worker offers.

        It checks `task_types` (at most 500) and the task types of the versions in flight. May be repeated.
        Raises UnavailableError.
        """
        request = messages.GetWorkflowUsageRequest(
            namespace=self.namespace,
            workflow_id=workflow_id,
            task_types=task_types,
            read_consistency=self._caller.consistency(strong=False),
        )
        usage = await self._caller.call(self._executions.GetWorkflowUsage, request)
        del request.task_types[:]  # the first page has the answer for them
        while usage.next_page_token:
            request.page_token = usage.next_page_token
            older = await self._caller.call(self._executions.GetWorkflowUsage, request)
            usage.versions.extend(older.versions)
            missing = {*usage.task_types_without_worker, *older.task_types_without_worker}
            usage.task_types_without_worker[:] = sorted(missing)
            usage.next_page_token = older.next_page_token
        return WorkflowUsage.from_message(usage)

    async def workers(
        self, *, task_type: str = "", queue: str = "", worker_id: str = "", page_size: int = 100
    ) -> AsyncIterator[ConnectedWorker]:
        """Iterate over the connected workers, in the order in which they connected, page by page.

        With `task_type`, `queue` or `worker_id`: only workers that offer this type, serve this queue or have
        exactly this name. The information is at most 5 s old; see `update_time`. Raises UnavailableError.
        """
        request = messages.ListWorkersRequest(
            namespace=self.namespace,
            page_size=page_size,
            task_type=task_type,
            queue=queue,
            worker_id=worker_id,
        )
        while True:
            page = await self._caller.call(self._executions.ListWorkers, request)
            for message in page.workers:
                yield ConnectedWorker.from_message(message)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token
