"""The orchestrator's engine on real servers, without gRPC: what the tests of the pipeline drive."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg
from execution_orchestrator.adapters.plan_compiler import PlanCompiler
from execution_orchestrator.adapters.postgres.store import PostgresStore
from execution_orchestrator.adapters.postgres.store_sql import SESSION_SETTINGS
from execution_orchestrator.adapters.redis.doorbell import RedisDoorbell
from execution_orchestrator.adapters.redis.queue import RedisQueue
from execution_orchestrator.application.engine.claim_token import new_claim_token
from execution_orchestrator.application.engine.committed import CommitListener, Committed
from execution_orchestrator.application.engine.database_clock import DatabaseClock
from execution_orchestrator.application.engine.notifier import Notifier
from execution_orchestrator.application.engine.pipeline import Pipeline
from execution_orchestrator.application.engine.plans import Plans
from execution_orchestrator.application.engine.work import CommandWork, Offers, StartWork, WorkResult
from execution_orchestrator.application.ports.store import RequestId
from execution_orchestrator.domain.commands import ClaimTask, Command, ReportTask, StartExecution, Succeeded
from execution_orchestrator.domain.task import NO_ITEM, Lease, TaskKey
from google.protobuf.json_format import ParseDict
from service_kit.data.redis import connect
from service_kit.process.connection_string import RedisAddress
from service_kit.tools.clock import SystemClock
from service_kit.tools.ids import new_uuid7
from workflowsystem.catalog.v1.definition_pb2 import WorkflowDefinition

TTL = timedelta(seconds=30)


@dataclass
class Engine:
    """Pipeline, store and queue of one orchestrator."""

    pool: asyncpg.Pool
    store: PostgresStore
    queue: RedisQueue
    pipeline: Pipeline
    plans: Plans
    workers: "Workers"
    listeners: list[CommitListener]

    async def publish(self, definition: dict[str, Any], workflow_id: str = "flow") -> None:
        message = ParseDict(definition, WorkflowDefinition())
        await self.plans.put("default", workflow_id, 1, message.SerializeToString())

    async def start(
        self, input_: Any = None, *, workflow_id: str = "flow", request: RequestId | None = None
    ) -> WorkResult:
        plan = await self.plans.get("default", workflow_id, 1)
        execution_id = request.execution_id if request else new_uuid7()
        command = StartExecution(execution_id, "default", workflow_id, 1, json.dumps(input_ or {}), {})
        return await self.pipeline.submit(StartWork(command, plan, request))

    async def command(self, execution_id: Any, command: Command) -> WorkResult:
        return await self.pipeline.submit(CommandWork(execution_id, command))

    async def claim(self, execution_id: Any, task_id: str, item: int = NO_ITEM) -> Lease | None:
        command = ClaimTask(TaskKey(task_id, item), "worker", "boot", TTL, new_claim_token())
        return (await self.command(execution_id, command)).lease

    async def succeed(self, lease: Lease, output: Any) -> WorkResult:
        command = ReportTask(lease.key, lease.epoch, Succeeded(json.dumps(output)), lease.token)
        return await self.command(lease.execution_id, command)

    async def rows(self, query: str, *arguments: Any) -> list[Any]:
        return list(await self.pool.fetch(query, *arguments))


class Workers:
    """The workers of the engine: nobody, until a test gives `room` to one."""

    def __init__(self) -> None:
        self.room: Offers | None = None

    def reserve(self, *kind_and_reporter: Any) -> Any:
        return None if self.room is None else self.room.reserve(*kind_and_reporter)


@asynccontextmanager
async def running_engine(database_url: str, redis_url: str, **limits: Any) -> AsyncIterator[Engine]:
    """Run an engine. `limits` are those of its pipeline."""
    pool = await asyncpg.create_pool(database_url, min_size=2, max_size=6, server_settings=SESSION_SETTINGS)
    redis = connect(RedisAddress.parse(redis_url), client_name="test")
    store = PostgresStore(pool)
    plans = Plans(store, PlanCompiler())
    queue = RedisQueue(redis)
    notifier = Notifier(queue, RedisDoorbell(redis), lambda _: None)
    workers = Workers()
    listeners: list[CommitListener] = []

    def announce(committed: Committed) -> None:
        for listener in listeners:
            listener(committed)

    clock = DatabaseClock(SystemClock())
    pipeline = Pipeline(
        store, plans, notifier, clock, workers, after_commit=[announce], lease_ttl=TTL, **limits
    )
    try:
        yield Engine(pool, store, queue, pipeline, plans, workers, listeners)
    finally:
        await pipeline.close()
        await notifier.close()
        await redis.aclose()
        await pool.close()
        await asyncio.sleep(0)
