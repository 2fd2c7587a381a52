"""The whole orchestrator in this process, driven from outside: gRPC in, rows in Postgres out."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg
import grpc
import pytest
from execution_orchestrator.application.upkeep.sweep import SweepPace
from execution_orchestrator.application.workers.dispatcher import DispatcherPace
from execution_orchestrator.bootstrap import Orchestrator, serving
from execution_orchestrator.settings import OrchestratorSettings
from execution_orchestrator.tuning import USUAL_TUNING, Tuning
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from prometheus_client import CollectorRegistry
from service_kit.errors import ServiceError, from_rpc_error
from service_kit.process.connection_string import ConnectionString, RedisAddress
from service_kit.tools.clock import Clock, SystemClock
from testkit import eventually
from workflowsystem.execution.v1 import execution_pb2
from workflowsystem.execution.v1 import execution_service_pb2 as pb
from workflowsystem.execution.v1.event_pb2 import ExecutionEventType
from workflowsystem.execution.v1.execution_service_pb2_grpc import ExecutionServiceStub
from workflowsystem.type.v1.read_consistency_pb2 import ReadConsistency
from workflowsystem.worker.v1.worker_service_pb2_grpc import WorkerServiceStub

STRONG = ReadConsistency(level=ReadConsistency.LEVEL_STRONG)
STORED = ("executions", "task_runs", "attempts", "execution_events", "request_ids")


@dataclass(frozen=True)
class Service:
    """A running orchestrator, its stubs, and a look into its database."""

    orchestrator: Orchestrator
    executions: Any
    workers: Any
    channel: grpc.aio.Channel
    pool: asyncpg.Pool
    http_port: int
    grpc_port: int

    async def start(self, input_: Any = None, workflow_id: str = "flow", **fields: Any) -> Any:
        return await self.executions.StartExecution(start_request(input_, workflow_id, **fields))

    async def get(self, execution_id: str, **fields: Any) -> Any:
        """The execution in full, from the primary."""
        request = pb.GetExecutionRequest(
            execution_id=execution_id,
            view=execution_pb2.EXECUTION_VIEW_FULL,
            read_consistency=STRONG,
            **fields,
        )
        return await self.executions.GetExecution(request)

    async def pause(self, execution_id: str, **fields: Any) -> Any:
        return await self.executions.PauseExecution(
            pb.PauseExecutionRequest(execution_id=execution_id, **fields)
        )

    async def resume(self, execution_id: str, **fields: Any) -> Any:
        return await self.executions.ResumeExecution(
            pb.ResumeExecutionRequest(execution_id=execution_id, **fields)
        )

    async def release(self, execution_id: str, **fields: Any) -> Any:
        return await self.executions.ReleaseExecution(
            pb.ReleaseExecutionRequest(execution_id=execution_id, **fields)
        )

    async def cancel(self, execution_id: str, grace_seconds: float | None = None, **fields: Any) -> Any:
        request = pb.CancelExecutionRequest(execution_id=execution_id, **fields)
        if grace_seconds is not None:
            request.grace.FromMilliseconds(int(grace_seconds * 1000))
        return await self.executions.CancelExecution(request)

    async def becomes(self, execution_id: str, status: str, timeout: float = 10.0) -> Any:
        """The execution once it has this status (`COMPLETED`)."""

        async def reached() -> Any:
            execution = await self.get(execution_id)
            assert status_of(execution) == status
            return execution

        return await eventually(reached, timeout)

    async def events(self, execution_id: str) -> list[Any]:
        request = pb.ListExecutionEventsRequest(
            execution_id=execution_id, page_size=1000, read_consistency=STRONG
        )
        return list((await self.executions.ListExecutionEvents(request)).events)

    async def event_types(self, execution_id: str) -> list[str]:
        prefix = "EXECUTION_EVENT_TYPE_"
        return [
            ExecutionEventType.Name(event.type).removeprefix(prefix)
            for event in await self.events(execution_id)
        ]

    async def queue_length(self, queue: str = "default") -> int:
        response = await self.executions.GetQueueStats(pb.GetQueueStatsRequest(queue=queue))
        return int(response.queues[0].length)

    async def rows(self, query: str, *arguments: Any) -> list[Any]:
        return list(await self.pool.fetch(query, *arguments))

    async def everything(self) -> dict[str, list[Any]]:
        """All that is stored, to see that something changed nothing."""
        return {table: await self.rows(f"SELECT * FROM {table} ORDER BY 1, 2, 3") for table in STORED}


def start_request(input_: Any = None, workflow_id: str = "flow", **fields: Any) -> pb.StartExecutionRequest:
    request = pb.StartExecutionRequest(workflow_id=workflow_id, **fields)
    if input_ is not None:
        request.input.CopyFrom(struct(input_))
    return request


def struct(value: dict[str, Any]) -> Struct:
    message = Struct()
    message.update(value)
    return message


def status_of(execution: Any) -> str:
    name: str = execution_pb2.ExecutionStatus.Name(execution.status)
    return name.removeprefix("EXECUTION_STATUS_")


def task_of(execution: Any, task_id: str, item: int | None = None) -> Any:
    """A task run of an execution in full."""
    (found,) = (
        task
        for task in execution.tasks
        if task.task_id == task_id and (task.item if task.HasField("item") else None) == item
    )
    return found


def task_status(task: Any) -> str:
    name: str = execution_pb2.TaskStatus.Name(task.status)
    return name.removeprefix("TASK_STATUS_")


def attempt_statuses(task: Any) -> list[str]:
    names = (execution_pb2.AttemptStatus.Name(attempt.status) for attempt in task.attempts)
    return [name.removeprefix("ATTEMPT_STATUS_") for name in names]


def plain(value: Any) -> Any:
    """A Struct or Value as Python has it."""
    return json.loads(json.dumps(MessageToDict(value)))


async def refusal(call: Awaitable[object]) -> ServiceError:
    """What the call is refused with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc_error(caught.value)


def tuned(**parts: Any) -> pytest.MarkDecorator:
    """Give these parts of the tuning to every orchestrator that the test launches."""
    return pytest.mark.parametrize("tuning", [Tuning(**parts)], ids=["tuned"])


without_a_safety_net = tuned(
    sweep=SweepPace(waited=timedelta(hours=1)), dispatcher=DispatcherPace(poll_seconds=3600.0)
)
"""Nobody looks for what was lost, or passed over, within the time of the test."""

short_pauses = tuned(quarantine_pause_seconds=0.05)
"""The pauses between the tries that count towards a quarantine are 0.05, 0.1, 0.2 and 0.4 s long."""


@asynccontextmanager
async def running_service(
    database_url: str,
    redis_url: str,
    catalog_address: str,
    pool: asyncpg.Pool,
    *,
    clock: Clock | None = None,
    tuning: Tuning = USUAL_TUNING,
    **settings: Any,
) -> AsyncIterator[Service]:
    given = OrchestratorSettings(
        **{
            "default_connection": ConnectionString.parse(database_url),
            "redis": RedisAddress.parse(redis_url),
            "catalog_address": catalog_address,
            "database_pool_size": 6,
            "shutdown_grace": 2.0,
            **settings,
        }
    )
    async with (
        serving(given, registry=CollectorRegistry(), clock=clock or SystemClock(), tuning=tuning) as (
            orchestrator,
            servers,
        ),
        grpc.aio.insecure_channel(f"127.0.0.1:{servers.grpc.port}") as channel,
    ):
        stubs = ExecutionServiceStub(channel), WorkerServiceStub(channel)
        yield Service(orchestrator, *stubs, channel, pool, servers.http.port, servers.grpc.port)
