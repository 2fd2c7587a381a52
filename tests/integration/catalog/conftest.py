"""A real catalog on a database of its own."""

from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass

import grpc
import pytest
from prometheus_client import CollectorRegistry
from service_kit.data import postgres
from service_kit.errors import ServiceError, from_rpc_error
from service_kit.process.connection_string import ConnectionString
from service_kit.process.settings import DatabaseSettings
from service_kit.rpc.rpc_metrics import RpcMetrics
from service_kit.rpc.server import GrpcServer
from testkit.databases import Databases
from workflow_catalog.adapters.memory.definition_cache import MemoryDefinitionCache
from workflow_catalog.adapters.postgres.migrate import upgrade
from workflow_catalog.adapters.postgres.workflow_store import PostgresWorkflowStore
from workflow_catalog.bootstrap import registration
from workflow_catalog.entrypoints.error_map import map_error
from workflowsystem.catalog.v1.workflow_catalog_service_pb2_grpc import WorkflowCatalogServiceStub


@pytest.fixture(scope="session")
def database_template(databases: Databases) -> str:
    return databases.template("catalog", upgrade)


@dataclass(frozen=True)
class Catalog:
    """A running catalog and a client of it."""

    stub: WorkflowCatalogServiceStub
    channel: grpc.aio.Channel
    database: postgres.Database

    async def refusal(self, call: Awaitable[object]) -> ServiceError:
        """What the call is refused with."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        return from_rpc_error(caught.value)


@pytest.fixture
async def catalog(database_url: str) -> AsyncIterator[Catalog]:
    """A real server at a port of its own, on a database of its own."""
    settings = DatabaseSettings(default_connection=ConnectionString.parse(database_url))
    database = await postgres.connect(settings, application_name="test")
    server = GrpcServer(
        "127.0.0.1:0",
        [registration(PostgresWorkflowStore(database), MemoryDefinitionCache())],
        metrics=RpcMetrics(CollectorRegistry()),
        map_error=map_error,
    )
    port = await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Catalog(WorkflowCatalogServiceStub(channel), channel, database)
    await server.stop(0)
    await database.close()
