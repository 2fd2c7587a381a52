"""From outside, with real processes and the limits of production: a Postgres that swallows everything."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import asyncpg
import grpc
import httpx
import pytest
from testkit import eventually
from testkit.ports import free_ports
from workflowsystem.execution.v1.execution_service_pb2_grpc import ExecutionServiceStub

from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.conftest import Wire
from tests.integration.orchestrator.service import start_request, status_of

GENEROUS_SECONDS = 60.0
GIVEN_UP_SECONDS = 10.0
"""How soon a silent peer must be given up."""
BACK_SECONDS = 15.0
"""How soon a start must succeed after the primary can be reached again."""
SLOW_MACHINE_SECONDS = 10.0
"""What these tests allow on top, since they share the machine with others."""

pytestmark = pytest.mark.timeout(240)


@asynccontextmanager
async def process(environment: Mapping[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "execution_orchestrator", "serve"),
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield running
    finally:
        running.kill()
        await running.wait()


class Outside:
    """What callers and probes of the process see."""

    def __init__(self, grpc_port: int, http_port: int) -> None:
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{grpc_port}")
        self._stub = ExecutionServiceStub(self.channel)
        self._http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{http_port}", trust_env=False, timeout=20)

    async def start(self, timeout: float) -> str:
        return status_of(await self._stub.StartExecution(start_request(), timeout=timeout))

    async def start_until_accepted(self, timeout: float) -> None:
        """As a client does that repeats what may be repeated."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                assert await self.start(max(0.1, deadline - time.monotonic())) == "PENDING"
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE or time.monotonic() > deadline:
                    raise
            else:
                return

    async def is_ready(self, expected: bool = True) -> None:
        try:
            answer = await self._http.get("/readyz")
        except httpx.TransportError as error:
            raise AssertionError(repr(error)) from error
        assert answer.status_code == (200 if expected else 503), answer.text

    async def is_alive(self) -> bool:
        return (await self._http.get("/livez")).status_code == 200

    async def close(self) -> None:
        await self._http.aclose()
        await self.channel.close()


@pytest.fixture
async def outside(
    wire: Wire, redis_url: str, catalog: FakeCatalog, catalog_server: tuple[grpc.aio.Server, str]
) -> AsyncIterator[Outside]:
    """A process whose way to Postgres leads through the wire; it has accepted a start."""
    catalog.publish({"id": "only", "type": "noop"})
    grpc_port, http_port = free_ports(2)
    environment = {
        "DEFAULT_CONNECTION": wire.database_url,
        "REDIS": redis_url,
        "CATALOG_ADDRESS": catalog_server[1],
        "GRPC_LISTEN": f"127.0.0.1:{grpc_port}",
        "HTTP_LISTEN": f"127.0.0.1:{http_port}",
    }
    async with process(environment):
        outside = Outside(grpc_port, http_port)
        await eventually(outside.is_ready, timeout=GENEROUS_SECONDS)
        assert await outside.start(GENEROUS_SECONDS) == "PENDING"
        yield outside
        await outside.close()


async def test_connections_that_fall_silent_delay_a_start_by_ten_seconds_at_most(
    outside: Outside, wire: Wire, pool: asyncpg.Pool
) -> None:
    assert wire.proxy.swallow(new_too=False) > 0
    assert await outside.start(GIVEN_UP_SECONDS + SLOW_MACHINE_SECONDS) == "PENDING"
    assert wire.proxy.swallowed_bytes > 0
    assert await pool.fetchval("SELECT count(*) FROM executions") == 2


async def test_a_postgres_that_answers_nobody_is_survived_with_honest_readiness(
    outside: Outside, wire: Wire
) -> None:
    wire.proxy.swallow()
    during = asyncio.create_task(outside.start(GENEROUS_SECONDS))
    await eventually(lambda: outside.is_ready(False), timeout=GENEROUS_SECONDS)
    assert await outside.is_alive()
    await asyncio.wait([during], timeout=GIVEN_UP_SECONDS)  # the silence lasts longer than one try
    await outside.is_ready(False)
    await wire.mend()
    await outside.start_until_accepted(BACK_SECONDS + SLOW_MACHINE_SECONDS)
    await eventually(outside.is_ready, timeout=BACK_SECONDS + SLOW_MACHINE_SECONDS)
    await asyncio.wait([during], timeout=GENEROUS_SECONDS)
    failure = during.exception()  # raises InvalidStateError if the call still hangs

    if failure is not None:
        assert isinstance(failure, grpc.aio.AioRpcError)
        assert failure.code() is grpc.StatusCode.UNAVAILABLE
