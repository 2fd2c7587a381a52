"""An orchestrator and a catalog as the gateway sees them: real servers, scripted histories."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID, uuid4

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from service_kit.errors import not_found
from service_kit.rpc.interceptors import RpcInterceptor
from service_kit.rpc.rpc_metrics import RpcMetrics
from workflow_contract.doorbell import CHANNEL
from workflowsystem.catalog.v1 import workflow_catalog_service_pb2_grpc as catalog_grpc
from workflowsystem.execution.v1 import event_pb2, execution_pb2
from workflowsystem.execution.v1 import execution_service_pb2 as execution_service
from workflowsystem.execution.v1 import execution_service_pb2_grpc as execution_grpc
from workflowsystem.type.v1.read_consistency_pb2 import ReadConsistency
from workflowsystem.worker.v1 import worker_service_pb2 as worker_pb2
from workflowsystem.worker.v1 import worker_service_pb2_grpc as worker_grpc

from tests.fakes.workflow_catalog_service import FakeCatalog

RUNNING = execution_pb2.EXECUTION_STATUS_RUNNING
COMPLETED = execution_pb2.EXECUTION_STATUS_COMPLETED
Meddle = Callable[[str, Any, Any], Any]


class FakeExecutions(execution_grpc.ExecutionServiceServicer):
    """Histories in memory. `meddle(method, request, response)` may change or replace any answer."""

    def __init__(self) -> None:
        self.histories: dict[str, list[event_pb2.ExecutionEvent]] = {}
        self.calls: Counter[str] = Counter()
        self.metadata: list[tuple[tuple[str, str | bytes], ...]] = []
        self.meddle: Meddle = lambda _method, _request, response: response
        self.answering = asyncio.Event()
        self.answering.set()
        self.cancelled = asyncio.Event()
        self.redis: Redis | None = None
        self.is_of_an_older_release = False
        self.bare_error: grpc.StatusCode | None = None  # an error without details, as gRPC itself makes it

    def create(self, events: int = 1) -> str:
        """A new execution with this many events."""
        execution_id = str(uuid4())
        self.histories[execution_id] = []
        for _ in range(events):
            self.write(execution_id)
        return execution_id

    def write(self, execution_id: str, *, final: bool = False, reason: str = "") -> int:
        """Commit one event, without a doorbell."""
        history = self.histories[execution_id]
        event = event_pb2.ExecutionEvent(
            namespace="default",
            execution_id=execution_id,
            sequence=len(history) + 1,
            status=COMPLETED if final else RUNNING,
            final=final,
            reason=reason,
        )
        event.time.FromNanoseconds(time.time_ns())
        history.append(event)
        return event.sequence

    async def happen(self, execution_id: str, *, final: bool = False) -> int:
        """Commit one event and ring, as the orchestrator does; a Redis that is away is no matter."""
        sequence = self.write(execution_id, final=final)
        await self.ring(execution_id, sequence)
        return sequence

    async def ring(self, execution_id: str, sequence: int) -> None:
        assert self.redis is not None
        try:
            await self.redis.publish(CHANNEL, f"default {execution_id} {sequence} RUNNING")
        except OSError:
            pass
        except Exception as error:
            if "onnect" not in repr(error) and "imeout" not in repr(error):
                raise

    async def GetExecution(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._called("GetExecution", context)
        assert request.read_consistency.level == ReadConsistency.LEVEL_STRONG
        history = self._history(request)
        last = history[-1]
        response = execution_pb2.Execution(
            namespace="default",
            execution_id=request.execution_id,
            status=last.status,
            last_sequence=last.sequence,
            final=last.final,
        )
        return self.meddle("GetExecution", request, response)

    async def ListExecutionEvents(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._called("ListExecutionEvents", context)
        assert request.read_consistency.level == ReadConsistency.LEVEL_STRONG
        rest = self._history(request)[request.after_sequence :]
        page = rest[: request.page_size or 50]
        token = "more" if len(page) < len(rest) else ""
        response = execution_service.ListExecutionEventsResponse(events=page, next_page_token=token)
        return self.meddle("ListExecutionEvents", request, response)

    async def BatchGetExecutionProgress(self, request: Any, context: Any) -> Any:  # noqa: N802
        if self.is_of_an_older_release:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
        await self._called("BatchGetExecutionProgress", context)
        known = [id_ for id_ in request.execution_ids if id_ in self.histories]
        return execution_service.BatchGetExecutionProgressResponse(
            executions=[
                execution_service.ExecutionProgress(execution_id=id_, last_sequence=len(self.histories[id_]))
                for id_ in known
            ]
        )

    async def StartExecution(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._called("StartExecution", context)
        return execution_pb2.Execution(workflow_id=request.workflow_id)

    async def ListExecutions(self, _request: Any, context: Any) -> Any:  # noqa: N802
        await self._called("ListExecutions", context)
        return execution_service.ListExecutionsResponse()

    async def StreamExecutionEvents(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        await self._called("StreamExecutionEvents", context)
        try:
            for event in self._history(request)[request.after_sequence :]:
                yield execution_service.StreamExecutionEventsResponse(events=[event])
                if event.final:
                    context.set_trailing_metadata((("x-seen", "all"),))
                    return
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def WaitExecution(self, _request: Any, context: Any) -> Any:  # noqa: N802
        return await self.wait("WaitExecution", context)

    async def wait(self, method: str, context: Any) -> Any:
        """Never answer."""
        await self._called(method, context)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def _called(self, method: str, context: Any) -> None:
        self.calls[method] += 1
        self.metadata.append(tuple(context.invocation_metadata()))
        if self.bare_error is not None:
            await context.abort(self.bare_error, "of the connection")
        await self.answering.wait()

    def _history(self, request: Any) -> list[event_pb2.ExecutionEvent]:
        UUID(request.execution_id)
        if request.execution_id not in self.histories:
            raise not_found(
                "EXECUTION_NOT_FOUND",
                f"there is no execution {request.execution_id}; ListExecutions shows those there are",
                execution_id=request.execution_id,
            )
        return self.histories[request.execution_id]


class FakeWorkerService(worker_grpc.WorkerServiceServicer):
    """Welcomes, then answers every Credits with as many acknowledgements. Has no task for long polls."""

    def __init__(self, executions: FakeExecutions) -> None:
        self._executions = executions

    async def LeaseTasks(self, _request: Any, context: Any) -> Any:  # noqa: N802
        return await self._executions.wait("LeaseTasks", context)

    async def Session(self, requests: AsyncIterator[Any], _context: Any) -> AsyncIterator[Any]:  # noqa: N802
        async for message in requests:
            if message.WhichOneof("message") == "hello":
                yield worker_pb2.OrchestratorMessage(
                    welcome=worker_pb2.Welcome(session_id=message.hello.worker_id)
                )
            else:
                yield worker_pb2.OrchestratorMessage(drain=worker_pb2.Drain())


class FakeHealth(health_pb2_grpc.HealthServicer):
    """Says of every service, and of the database, what the test wants, and counts who asks."""

    def __init__(self) -> None:
        self.serving = True
        self.database = True
        self.calls = 0

    async def Check(self, request: Any, _context: Any) -> Any:  # noqa: N802
        self.calls += 1
        statuses = health_pb2.HealthCheckResponse
        serving = self.database if request.service == "database" else self.serving
        return statuses(status=statuses.SERVING if serving else statuses.NOT_SERVING)


class FakePeer:
    """One server with all three services, which can be stopped and started again at the same port."""

    def __init__(self) -> None:
        self.executions = FakeExecutions()
        self.health = FakeHealth()
        self.port = 0
        self._server: grpc.aio.Server | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        interceptor = RpcInterceptor(RpcMetrics(CollectorRegistry()))
        server = grpc.aio.server(interceptors=[interceptor], options=[("grpc.so_reuseport", 0)])
        execution_grpc.add_ExecutionServiceServicer_to_server(self.executions, server)
        catalog_grpc.add_WorkflowCatalogServiceServicer_to_server(FakeCatalog(), server)
        worker_grpc.add_WorkerServiceServicer_to_server(FakeWorkerService(self.executions), server)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, server)
        self.port = server.add_insecure_port(f"127.0.0.1:{self.port}")
        await server.start()
        self._server = server

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(None)
            self._server = None
