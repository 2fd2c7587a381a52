"""A gateway before a real catalog and a real orchestrator, all in this process."""

from collections.abc import AsyncIterator

import asyncpg
import grpc
import pytest
from google.protobuf.json_format import ParseDict
from prometheus_client import CollectorRegistry
from workflow_gateway.bootstrap import serving
from workflow_gateway.settings import GatewaySettings
from workflowsystem.catalog.v1 import workflow_catalog_service_pb2 as catalog_pb2

from tests.integration.deactivation.conftest import database_template, running_catalog
from tests.integration.extremes.calling import CATALOG, Caller
from tests.integration.orchestrator.service import running_service

__all__ = ["database_template"]


@pytest.fixture
async def gateway_address(database_url: str, redis_url: str) -> AsyncIterator[str]:
    """The address of the gateway, through which every service is reached."""
    async with (
        running_catalog(database_url, redis_url) as catalog_address,
        asyncpg.create_pool(database_url, min_size=1, max_size=2) as pool,
        running_service(database_url, redis_url, catalog_address, pool) as orchestrator,
    ):
        settings = GatewaySettings(
            redis=redis_url,
            catalog_address=catalog_address,
            orchestrator_address=f"127.0.0.1:{orchestrator.grpc_port}",
            grpc_listen="127.0.0.1:0",
            http_listen="127.0.0.1:0",
            shutdown_grace=0,
        )
        async with serving(settings, registry=CollectorRegistry()) as (_, servers):
            yield f"127.0.0.1:{servers.grpc.port}"


@pytest.fixture
async def channel(gateway_address: str) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(gateway_address) as channel:
        yield channel


@pytest.fixture
async def caller(channel: grpc.aio.Channel) -> Caller:
    """With a published workflow `flow`."""
    caller = Caller(channel)
    definition = {"tasks": [{"id": "a", "type": "noop"}]}
    create = ParseDict({"workflow_id": "flow", "definition": definition}, catalog_pb2.CreateWorkflowRequest())

    async def published() -> None:
        await caller.call(f"{CATALOG}CreateWorkflow", create)
        publish = catalog_pb2.PublishWorkflowRequest(workflow_id="flow")
        assert hasattr(await caller.call(f"{CATALOG}PublishWorkflow", publish), "active_version")

    await published()
    caller.wrong.clear()
    return caller
