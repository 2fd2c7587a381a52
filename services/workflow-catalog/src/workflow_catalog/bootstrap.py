"""Build the service, run it, and stop its parts in order."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from functools import partial

from service_kit.data import redis
from service_kit.data.postgres import Database, connect
from service_kit.process.health import HealthChecks, feed_grpc_health
from service_kit.process.http import HttpServer, make_app
from service_kit.process.settings import (
    CallSettings,
    DatabaseSettings,
    LogSettings,
    RedisSettings,
    ServerSettings,
)
from service_kit.rpc.rpc_metrics import RpcMetrics
from service_kit.rpc.server import GrpcServer, Registration, ServerLimits
from service_kit.tools.clock import SystemClock
from service_kit.tools.tasks import cancel_all
from workflowsystem.catalog.v1 import workflow_catalog_service_pb2, workflow_catalog_service_pb2_grpc

from workflow_catalog.adapters.postgres.schema import SCHEMA
from workflow_catalog.adapters.postgres.workflow_store import PostgresWorkflowStore
from workflow_catalog.adapters.redis.definition_cache import RedisDefinitionCache
from workflow_catalog.application.expiry import keep_forgetting
from workflow_catalog.application.ports import DefinitionCache, WorkflowStore
from workflow_catalog.application.reports import Reports
from workflow_catalog.application.versions import Versions
from workflow_catalog.application.workflows import Workflows
from workflow_catalog.entrypoints.error_map import map_error
from workflow_catalog.entrypoints.servicer import WorkflowCatalogServicer

SERVICE_NAME = "workflow-catalog"

THREAD_SWITCH_SECONDS = 0.0002
"""How long a thread that checks a definition may hold the interpreter while the event loop waits for it. The
orchestrator's query before a start needs the interpreter about a dozen times. With Python's default of 5 ms,
this query took 60 ms while some checks ran.
"""

CACHE_TIMEOUT_SECONDS = 0.2
"""A cache that is slower than the database is useless: give up after this time."""


class CatalogSettings(DatabaseSettings, RedisSettings, ServerSettings, CallSettings, LogSettings):
    """The settings of the catalog."""


def registration(store: WorkflowStore, cache: DefinitionCache) -> Registration:
    """Return the registration of the catalog's gRPC service, which uses this store and this cache."""
    versions = Versions(store, cache)
    workflows = Workflows(store, Reports(store, versions), SystemClock())
    servicer = WorkflowCatalogServicer(workflows, versions)
    descriptor = workflow_catalog_service_pb2.DESCRIPTOR.services_by_name["WorkflowCatalogService"]
    add = workflow_catalog_service_pb2_grpc.add_WorkflowCatalogServiceServicer_to_server
    return Registration.of(servicer, descriptor, add)


async def serve(settings: CatalogSettings, stop: asyncio.Event) -> None:
    """Run the service until `stop` is set. Raise the error that prevents it from starting."""
    sys.setswitchinterval(THREAD_SWITCH_SECONDS)
    database = await connect(settings, application_name=SERVICE_NAME)
    client = redis.connect(settings.redis, client_name=SERVICE_NAME, command_timeout=CACHE_TIMEOUT_SECONDS)
    try:
        await _serve(settings, database, RedisDefinitionCache(client, SystemClock()), stop)
    finally:
        await client.aclose()
        await database.close()


async def _serve(
    settings: CatalogSettings, database: Database, cache: DefinitionCache, stop: asyncio.Event
) -> None:
    checks = HealthChecks()
    checks.check("database", partial(database.check_primary, SCHEMA))
    checks.check("replica", database.check_replica, needed=False)
    store = PostgresWorkflowStore(database)
    http = HttpServer(settings.http_listen, make_app(checks))
    server = GrpcServer(
        settings.grpc_listen,
        [registration(store, cache)],
        metrics=RpcMetrics(),
        map_error=map_error,
        limits=ServerLimits(max_calls=settings.max_calls),
    )
    async with contextlib.AsyncExitStack() as running:
        await http.start()
        running.push_async_callback(http.stop)
        await server.start()
        running.push_async_callback(server.stop, settings.shutdown_grace)
        background = [
            asyncio.create_task(feed_grpc_health(checks, server)),
            asyncio.create_task(keep_forgetting(store, SystemClock())),
        ]
        running.push_async_callback(cancel_all, background)
        await stop.wait()


async def migrate(settings: CatalogSettings) -> None:
    """Migrate the database schema to this release. May be repeated, and run by several processes at once."""
    # Import here: Alembic takes 14 MiB of memory, which a serving process does not need.
    from workflow_catalog.adapters.postgres.migrate import upgrade_async

    await upgrade_async(settings.default_connection.asyncpg_dsn)
