"""Every database of these tests has the orchestrator's schema. `service` is a whole orchestrator on it;
`stub` calls its read methods alone.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import asyncpg
import grpc.aio
import pytest
from execution_orchestrator.adapters.postgres.migrate import upgrade
from execution_orchestrator.adapters.postgres.reads import PostgresReads, ReadLimits
from execution_orchestrator.adapters.redis.queue import RedisQueue
from execution_orchestrator.application.watching.waiters import Waiters
from execution_orchestrator.entrypoints.error_map import map_error
from execution_orchestrator.entrypoints.execution_servicer import ExecutionServicer
from execution_orchestrator.tuning import Tuning
from prometheus_client import CollectorRegistry
from service_kit.data import redis as redis_kit
from service_kit.process.connection_string import RedisAddress
from service_kit.rpc.interceptors import RpcInterceptor
from service_kit.rpc.rpc_metrics import RpcMetrics
from testkit.databases import Databases
from testkit.grpc_server import grpc_server
from workflowsystem.catalog.v1.workflow_catalog_service_pb2_grpc import (
    add_WorkflowCatalogServiceServicer_to_server as add_catalog,
)
from workflowsystem.execution.v1 import execution_service_pb2_grpc as pb_grpc

from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.checker import check_everything
from tests.integration.orchestrator.filling import connected
from tests.integration.orchestrator.lock_order import LockOrder, watched
from tests.integration.orchestrator.service import Service, running_service
from tests.integration.orchestrator.tcp_proxy import TcpProxy, proxy_to_postgres

Launch = Callable[..., Awaitable[Service]]


@pytest.fixture(scope="session")
def database_template(databases: Databases) -> str:
    return databases.template("orchestrator", upgrade)


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
def read_limits() -> ReadLimits:
    """Limits of `reads`, and so of `stub`. A test can give others by `parametrize`."""
    return ReadLimits()


@pytest.fixture
async def reads(database_url: str, read_limits: ReadLimits) -> AsyncIterator[PostgresReads]:
    database = await connected(database_url)
    yield PostgresReads(database, read_limits)
    await database.close()


@pytest.fixture
def catalog() -> FakeCatalog:
    return FakeCatalog()


@pytest.fixture
async def catalog_server(catalog: FakeCatalog) -> AsyncIterator[tuple[grpc.aio.Server, str]]:
    """The server of the fake catalog, and its address."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    add_catalog(catalog, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield server, f"127.0.0.1:{port}"
    await server.stop(None)


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    """Connections of the test's own."""
    pool = await asyncpg.create_pool(database_url, min_size=1, max_size=2)
    yield pool
    await pool.close()


class Wire(NamedTuple):
    """A connection to Postgres that a test can cut, and mend; `proxy` can also swallow and delay."""

    cut: Callable[[], Awaitable[None]]
    mend: Callable[[], Awaitable[None]]
    database_url: str
    proxy: TcpProxy


@pytest.fixture
async def wire(database_url: str) -> AsyncIterator[Wire]:
    """For an orchestrator that is launched with its `database_url`."""
    async with proxy_to_postgres(database_url) as (proxy, url):
        yield Wire(proxy.cut, proxy.mend, url, proxy)


@pytest.fixture
def tuning() -> Tuning:
    """Periods and limits of every orchestrator of the test; `@tuned(...)` gives other ones."""
    return Tuning()


@pytest.fixture
def lock_order(monkeypatch: pytest.MonkeyPatch) -> Iterator[LockOrder]:
    """The order in which the transactions of all orchestrators of the test lock tables."""
    with watched(monkeypatch) as order:
        yield order


@pytest.fixture
async def launch(
    database_url: str,
    redis_url: str,
    catalog_server: tuple[grpc.aio.Server, str],
    pool: asyncpg.Pool,
    tuning: Tuning,
    lock_order: LockOrder,
) -> AsyncIterator[Launch]:
    """Starts orchestrators, all on the same servers, with settings of their own.

    They stop at the end of the test. Then every execution in the database is checked, and the order in which
    their transactions locked tables.
    """
    async with AsyncExitStack() as running:

        async def launch(**settings: object) -> Service:
            given = {"database_url": database_url, "redis_url": redis_url, "tuning": tuning, **settings}
            service = running_service(catalog_address=catalog_server[1], pool=pool, **given)
            return await running.enter_async_context(service)

        yield launch
    await check_everything(pool)
    assert lock_order.broken == []


@pytest.fixture
async def service(launch: Launch) -> Service:
    """One orchestrator with the usual settings."""
    return await launch()


@pytest.fixture
def waiters(reads: PostgresReads) -> Waiters:
    return Waiters(reads)


@pytest.fixture
async def queue(redis_url: str) -> AsyncIterator[RedisQueue]:
    client = redis_kit.connect(RedisAddress.parse(redis_url), client_name="test")
    yield RedisQueue(client)
    await client.aclose()


@pytest.fixture
async def stub(reads: PostgresReads, queue: RedisQueue, waiters: Waiters) -> AsyncIterator[Any]:
    unused: Any = None  # the mutations; and see test_usage.py and test_list_workers.py
    servicer = ExecutionServicer(unused, unused, reads, queue, waiters, usage=unused, workers=unused)
    interceptor = RpcInterceptor(RpcMetrics(CollectorRegistry()), map_error=map_error)

    def register(server: Any) -> None:
        pb_grpc.add_ExecutionServiceServicer_to_server(servicer, server)

    async with grpc_server(register, interceptors=[interceptor]) as channel:
        yield pb_grpc.ExecutionServiceStub(channel)
