"""A gateway as the command line sees it: a catalog, and executions with scripted histories."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
from prometheus_client import CollectorRegistry
from service_kit.errors import failed_precondition, not_found, unavailable
from service_kit.rpc.interceptors import RpcInterceptor
from service_kit.rpc.rpc_metrics import RpcMetrics
from workflowsystem.catalog.v1 import workflow_catalog_service_pb2_grpc as catalog_grpc
from workflowsystem.execution.v1 import event_pb2, execution_pb2, worker_pb2
from workflowsystem.execution.v1 import execution_service_pb2 as execution_service
from workflowsystem.execution.v1 import execution_service_pb2_grpc as execution_grpc
from workflowsystem.gateway.v1 import watch_service_pb2 as watch_pb2
from workflowsystem.gateway.v1 import watch_service_pb2_grpc as watch_grpc

from tests.fakes.workflow_catalog_service import FakeCatalog

EXECUTION_ID = "01890a5d-ac96-774b-bcce-b302099a8057"
STATUSES = execution_pb2.ExecutionStatus


def event(sequence: int, kind: str, status: str) -> event_pb2.ExecutionEvent:
    """An event of now; those of an execution's end are final."""
    happened = event_pb2.ExecutionEvent(
        execution_id=EXECUTION_ID,
        sequence=sequence,
        type=event_pb2.ExecutionEventType.Value(f"EXECUTION_EVENT_TYPE_{kind}"),
        status=STATUSES.Value(f"EXECUTION_STATUS_{status}"),
        task_id="charge" if kind.startswith("TASK") else "",
        final=status in ("COMPLETED", "FAILED", "CANCELLED"),
    )
    happened.time.GetCurrentTime()
    return happened


class OneExecution(execution_grpc.ExecutionServiceServicer):
    """Answers all calls about one execution, EXECUTION_ID."""

    def __init__(self) -> None:
        self.execution = execution_pb2.Execution(
            namespace="default",
            execution_id=EXECUTION_ID,
            workflow_id="orders",
            version=1,
            status=STATUSES.EXECUTION_STATUS_PENDING,
            last_sequence=1,
        )
        self.execution.create_time.GetCurrentTime()
        self.requests: list[Any] = []
        self.task_runs: list[execution_pb2.TaskRun] = []
        self.looks = 0
        self.usage: execution_service.WorkflowUsage | None = execution_service.WorkflowUsage()

    async def StartExecution(self, request: Any, _context: Any) -> Any:  # noqa: N802
        self.requests.append(request)
        return self.execution

    async def GetExecution(self, request: Any, _context: Any) -> Any:  # noqa: N802
        self._check(request)
        if not request.task_id:
            return self.execution
        wanted = (request.task_id, request.item if request.HasField("item") else None)
        runs = [run for run in self.task_runs if _key(run) == wanted]
        return execution_pb2.Execution(execution_id=EXECUTION_ID, tasks=runs)

    async def ListTaskRuns(self, request: Any, _context: Any) -> Any:  # noqa: N802
        self._check(request)
        runs = [
            run
            for run in self.task_runs
            if (not request.statuses or run.status in request.statuses) and run.attempt >= request.min_attempt
        ]
        return execution_service.ListTaskRunsResponse(task_runs=runs)

    async def ListExecutions(self, request: Any, _context: Any) -> Any:  # noqa: N802
        self.requests.append(request)
        return execution_service.ListExecutionsResponse(executions=[self.execution])

    async def ListExecutionEvents(self, request: Any, _context: Any) -> Any:  # noqa: N802
        """The replica is a moment behind: it has nothing at the first look."""
        self.looks += 1
        stored = [event(1, "EXECUTION_CREATED", "PENDING"), event(2, "TASK_STARTED", "RUNNING")]
        events = stored[request.after_sequence :] if self.looks > 1 else []
        return execution_service.ListExecutionEventsResponse(events=events)

    async def PauseExecution(self, request: Any, _context: Any) -> Any:  # noqa: N802
        self._check(request)
        if self.execution.final:
            raise failed_precondition(
                "EXECUTION_STATUS_CONFLICT", "the execution is Completed; nothing is left to pause"
            )
        self.execution.status = STATUSES.EXECUTION_STATUS_PAUSED
        return self.execution

    async def CancelExecution(self, request: Any, _context: Any) -> Any:  # noqa: N802
        self._check(request)
        self.execution.cancel_requested = True
        return self.execution

    async def ReleaseExecution(self, request: Any, _context: Any) -> Any:  # noqa: N802
        self._check(request)
        self.execution.ClearField("quarantine")
        return self.execution

    async def GetWorkflowUsage(self, request: Any, _context: Any) -> Any:  # noqa: N802
        self.requests.append(request)
        if self.usage is None:
            raise unavailable("DEPENDENCY_UNAVAILABLE", "the database does not answer")
        return self.usage

    async def GetQueueStats(self, _request: Any, _context: Any) -> Any:  # noqa: N802
        stats = execution_pb2.QueueStats(queue="default", length=7)
        return execution_service.GetQueueStatsResponse(queues=[stats])

    async def ListWorkers(self, request: Any, _context: Any) -> Any:  # noqa: N802
        """Two workers, a page for each. The filters choose nothing here."""
        self.requests.append(request)
        number = int(request.page_token or "1")
        worker = worker_pb2.ConnectedWorker(
            worker_id=f"pod-{3 - number}", protocol=1, slots=4, busy_slots=1, task_types=["orders.charge"]
        )
        worker.tasks.add(execution_id=EXECUTION_ID, task_id="charge", workflow_id="orders")
        token = "2" if number == 1 else ""
        return execution_service.ListWorkersResponse(workers=[worker], next_page_token=token)

    def _check(self, request: Any) -> None:
        self.requests.append(request)
        if request.execution_id != EXECUTION_ID:
            raise not_found("EXECUTION_NOT_FOUND", f"there is no execution {request.execution_id}")


def _key(run: execution_pb2.TaskRun) -> tuple[str, int | None]:
    return run.task_id, run.item if run.HasField("item") else None


class FakeWatches(watch_grpc.WatchServiceServicer):
    """Shows the execution as pending, then started, then ended with `status`."""

    def __init__(self, executions: OneExecution) -> None:
        self._executions = executions
        self.status = STATUSES.EXECUTION_STATUS_COMPLETED
        self.endless = False

    async def WatchExecution(self, _request: Any, _context: Any) -> AsyncIterator[Any]:  # noqa: N802
        yield watch_pb2.WatchExecutionResponse(snapshot=self._executions.execution, resume_token="t1")
        yield watch_pb2.WatchExecutionResponse(event=event(2, "TASK_STARTED", "RUNNING"), resume_token="t2")
        if self.endless:
            await asyncio.Event().wait()
        last = event(3, f"EXECUTION_{self._word()}", self._word())
        yield watch_pb2.WatchExecutionResponse(event=last, resume_token="t3")

    def _word(self) -> str:
        return str(STATUSES.Name(self.status)).removeprefix("EXECUTION_STATUS_")


class FakeGateway:
    """All of it on one port."""

    def __init__(self) -> None:
        self.catalog = FakeCatalog()
        self.executions = OneExecution()
        self.watches = FakeWatches(self.executions)
        self.port = 0

    async def start(self) -> grpc.aio.Server:
        server = grpc.aio.server(
            interceptors=[RpcInterceptor(RpcMetrics(CollectorRegistry()))], options=[("grpc.so_reuseport", 0)]
        )
        catalog_grpc.add_WorkflowCatalogServiceServicer_to_server(self.catalog, server)
        execution_grpc.add_ExecutionServiceServicer_to_server(self.executions, server)
        watch_grpc.add_WatchServiceServicer_to_server(self.watches, server)
        self.port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        return server
