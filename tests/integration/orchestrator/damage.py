"""Damage to what an execution needs, its repair, and how a test sees that the engine noticed."""

from contextlib import suppress
from typing import Any

import grpc
from execution_orchestrator.application.engine.plans import MAX_PLAN_BYTES, MAX_PLANS
from service_kit.tools.bounded_cache import BoundedCache
from testkit import eventually
from workflowsystem.execution.v1 import execution_service_pb2 as pb
from workflowsystem.worker.v1 import worker_service_pb2 as worker_pb
from workflowsystem.worker.v1.task_pb2 import TaskResult

from tests.integration.orchestrator.service import STRONG, Service

PATIENCE_SECONDS = 60.0


def forget_plans(service: Service) -> None:
    """As after a restart: no plan is in memory."""
    empty = BoundedCache[Any, Any](max_entries=MAX_PLANS, max_bytes=MAX_PLAN_BYTES)
    service.orchestrator.plans._plans = empty


async def delete_definition(service: Service, workflow_id: str = "damaged") -> bytes:
    """Nobody can read the definition of the workflow any more; returns it."""
    query = "DELETE FROM definitions WHERE workflow_id = $1 RETURNING definition"
    (row,) = await service.rows(query, workflow_id)
    forget_plans(service)
    return bytes(row["definition"])


async def put_back(service: Service, definition: bytes, workflow_id: str = "damaged") -> None:
    query = "INSERT INTO definitions VALUES ('default', $1, 1, $2)"
    await service.rows(query, workflow_id, definition)


async def quarantined(service: Service, execution_id: str) -> Any:
    """The execution, once it is quarantined."""

    async def reached() -> Any:
        execution = await service.get(execution_id)
        assert execution.HasField("quarantine")
        return execution

    return await eventually(reached, PATIENCE_SECONDS)


async def report_in_vain(service: Service, lease: Any) -> None:
    """Report a success, as a worker does again and again while nobody acknowledges it."""
    request = worker_pb.ReportTasksRequest(results=[TaskResult(task=lease.task, output=b"null")])
    with suppress(grpc.aio.AioRpcError):
        await service.workers.ReportTasks(request)


async def listed(service: Service, **fields: Any) -> list[str]:
    """The ids of the executions that are quarantined."""
    request = pb.ListExecutionsRequest(quarantined=True, read_consistency=STRONG, **fields)
    answer = await service.executions.ListExecutions(request)
    return [execution.execution_id for execution in answer.executions]
