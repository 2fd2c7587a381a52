"""The part of the client that reads the task runs of an execution."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from workflowsystem.execution.v1 import execution_pb2, execution_service_pb2_grpc
from workflowsystem.execution.v1 import execution_service_pb2 as messages

from workflow_sdk.calls import Caller
from workflow_sdk.models import TaskRun


class TaskRunCalls:
    """The method that lists task runs. Mixed into `Client`."""

    namespace: str
    _caller: Caller
    _executions: execution_service_pb2_grpc.ExecutionServiceStub

    async def task_runs(
        self,
        execution_id: str,
        *,
        task_id: str = "",
        statuses: Sequence[str] = (),
        min_attempt: int = 0,
        full: bool = False,
        page_size: int = 100,
        strong: bool = False,
    ) -> AsyncIterator[TaskRun]:
        """Iterate over the task runs of an execution, by task id, then item, page by page.

        `statuses`: the words of TaskStatus. A `min_attempt` of 2 selects task runs that were retried. Only
        `full` has payloads, failures and attempts. The outputs of a fan-out are in the runs of its items.
        May be repeated. Raises NotFoundError, and ValueError for a status that does not exist.
        """
        view = execution_pb2.TASK_RUN_VIEW_FULL if full else execution_pb2.TASK_RUN_VIEW_BASIC
        request = messages.ListTaskRunsRequest(
            namespace=self.namespace,
            execution_id=execution_id,
            page_size=page_size,
            task_id=task_id,
            statuses=[f"TASK_STATUS_{status}" for status in statuses],
            view=view,
            min_attempt=min_attempt,
            read_consistency=self._caller.consistency(strong),
        )
        while True:
            page = await self._caller.call(self._executions.ListTaskRuns, request)
            for message in page.task_runs:
                yield TaskRun.from_message(message)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token
