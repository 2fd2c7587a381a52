"""Build the service, run it, and stop its parts in order."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from prometheus_client import REGISTRY, CollectorRegistry
from service_kit.data import postgres, redis
from service_kit.data.postgres import Database
from service_kit.process import service
from service_kit.process.health import HealthChecks
from service_kit.process.service import Servers
from service_kit.rpc.server import Registration, ServerLimits
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
from workflow_catalog.settings import CatalogSettings

SERVICE_NAME = "workflow-catalog"

THREAD_SWITCH_SECONDS = 0.0002
"""How long a thread that checks a definition may hold the interpreter while the event loop waits for it. The
orchestrator's query before a start needs the interpreter about a dozen times. With Python's default of 5 ms,
this query took 60 ms while some checks ran.
"""

CACHE_TIMEOUT_SECONDS = 0.2
"""A cache that is slower than the database is useless: give up after this time."""


def registration(store: WorkflowStore, cache: DefinitionCache) -> Registration:
    """Return the registration of the catalog's gRPC service, which uses this store and this cache."""
    versions = Versions(store, cache)
    workflows = Workflows(store, Reports(store, versions), SystemClock())
    servicer = WorkflowCatalogServicer(workflows, versions)
    descriptor = workflow_catalog_service_pb2.DESCRIPTOR.services_by_name["WorkflowCatalogService"]
    add = workflow_catalog_service_pb2_grpc.add_WorkflowCatalogServiceServicer_to_server
    return Registration.of(servicer, descriptor, add)


@asynccontextmanager
async def serving(
    settings: CatalogSettings, *, registry: CollectorRegistry = REGISTRY
) -> AsyncIterator[Servers]:
    """Run the service while the block lasts, then drain and stop it. Raise the error that prevents its start.

    If a process runs several catalogs, give each one a `registry`.
    """
    clock = SystemClock()
    async with AsyncExitStack() as resources:
        database = await postgres.connect(settings, application_name=SERVICE_NAME)
        resources.push_async_callback(database.close)
        client = redis.connect(
            settings.redis, client_name=SERVICE_NAME, command_timeout=CACHE_TIMEOUT_SECONDS
        )
        resources.push_async_callback(client.aclose)
        store = PostgresWorkflowStore(database)
        forgetting = asyncio.create_task(keep_forgetting(store, clock))
        resources.push_async_callback(cancel_all, [forgetting])
        servers = service.running(
            settings,
            [registration(store, RedisDefinitionCache(client, clock))],
            _checks(database),
            map_error=map_error,
            limits=ServerLimits(max_calls=settings.max_calls),
            registry=registry,
        )
        yield await resources.enter_async_context(servers)


def _checks(database: Database) -> HealthChecks:
    """Return the checks. The service is ready without the replica of Postgres, which only serves reads."""
    checks = HealthChecks()
    checks.check("database", partial(database.check_primary, SCHEMA))
    checks.check("replica", database.check_replica, needed=False)
    return checks


async def serve(settings: CatalogSettings, stop: asyncio.Event) -> None:
    """Run the service until `stop` is set. Raise the error that prevents it from starting."""
    sys.setswitchinterval(THREAD_SWITCH_SECONDS)
    async with serving(settings):
        await stop.wait()


async def migrate(settings: CatalogSettings) -> None:
    """Migrate the database schema to this release. May be repeated, and run by several processes at once."""
    # Import here: Alembic takes 14 MiB of memory, which a serving process does not need.
    from workflow_catalog.adapters.postgres.migrate import upgrade_async

    await upgrade_async(settings.default_connection.asyncpg_dsn)
