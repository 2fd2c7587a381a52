"""The real catalog and three orchestrators, all in this process, on one Postgres and one Redis."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import grpc
import pytest
from execution_orchestrator.adapters.postgres.migrate import upgrade as upgrade_orchestrator
from google.protobuf.json_format import ParseDict
from prometheus_client import CollectorRegistry
from service_kit.data import postgres, redis
from service_kit.process.connection_string import ConnectionString, RedisAddress
from service_kit.process.settings import DatabaseSettings
from service_kit.rpc.rpc_metrics import RpcMetrics
from service_kit.rpc.server import GrpcServer
from service_kit.tools.clock import SystemClock
from testkit.databases import Databases
from workflow_catalog.adapters.postgres.migrate import upgrade as upgrade_catalog
from workflow_catalog.adapters.postgres.workflow_store import PostgresWorkflowStore
from workflow_catalog.adapters.redis.definition_cache import RedisDefinitionCache
from workflow_catalog.bootstrap import registration
from workflow_catalog.entrypoints.error_map import map_error
from workflowsystem.catalog.v1 import workflow_catalog_service_pb2 as pb
from workflowsystem.catalog.v1.definition_pb2 import WorkflowDefinition
from workflowsystem.catalog.v1.workflow_catalog_service_pb2_grpc import WorkflowCatalogServiceStub

from tests.integration.orchestrator.checker import check_everything
from tests.integration.orchestrator.service import Service, running_service

ORCHESTRATORS = 3
WORKFLOW = "flow"


@dataclass(frozen=True)
class Stack:
    """A catalog, three orchestrators, and a look into their database."""

    catalog: Any
    orchestrators: list[Service]
    pool: asyncpg.Pool

    async def publish(self) -> None:
        """The workflow's next version, which is its active one then."""
        tasks = [{"id": "only", "type": "noop", "input": "${input}"}]
        definition = ParseDict({"tasks": tasks}, WorkflowDefinition())
        await self.catalog.CreateWorkflow(
            pb.CreateWorkflowRequest(workflow_id=WORKFLOW, definition=definition)
        )
        await self.catalog.PublishWorkflow(pb.PublishWorkflowRequest(workflow_id=WORKFLOW))

    async def activate(self) -> None:
        await self.catalog.ActivateWorkflow(pb.ActivateWorkflowRequest(workflow_id=WORKFLOW))

    async def deactivate(self) -> None:
        await self.catalog.DeactivateWorkflow(pb.DeactivateWorkflowRequest(workflow_id=WORKFLOW))

    async def archive(self) -> None:
        await self.catalog.ArchiveWorkflow(pb.ArchiveWorkflowRequest(workflow_id=WORKFLOW))


@pytest.fixture(scope="session")
def database_template(databases: Databases) -> str:
    def upgrade(url: str) -> None:
        upgrade_catalog(url)
        upgrade_orchestrator(url)

    return databases.template("catalog_and_orchestrator", upgrade)


@asynccontextmanager
async def running_catalog(database_url: str, redis_url: str) -> AsyncIterator[str]:
    """The address of a catalog with a cache in Redis, as it is deployed."""
    settings = DatabaseSettings(default_connection=ConnectionString.parse(database_url))
    database = await postgres.connect(settings, application_name="test")
    client = redis.connect(RedisAddress.parse(redis_url), client_name="test")
    service = registration(PostgresWorkflowStore(database), RedisDefinitionCache(client, SystemClock()))
    metrics = RpcMetrics(CollectorRegistry())
    server = GrpcServer("127.0.0.1:0", [service], metrics=metrics, map_error=map_error)
    port = await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)
        await client.aclose()
        await database.close()


@pytest.fixture
async def stack(database_url: str, redis_url: str) -> AsyncIterator[Stack]:
    async with AsyncExitStack() as running:
        address = await running.enter_async_context(running_catalog(database_url, redis_url))
        channel = await running.enter_async_context(grpc.aio.insecure_channel(address))
        pool = await asyncpg.create_pool(database_url, min_size=1, max_size=2)
        running.push_async_callback(asyncio.wait_for, pool.close(), 5)
        services = [
            await running.enter_async_context(running_service(database_url, redis_url, address, pool))
            for _ in range(ORCHESTRATORS)
        ]
        yield Stack(WorkflowCatalogServiceStub(channel), services, pool)
        await check_everything(pool)
