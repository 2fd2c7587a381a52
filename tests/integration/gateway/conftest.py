"""A gateway in the test's own loop, before a scripted orchestrator and a real Redis."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio
import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from service_kit.data.redis import connect
from service_kit.process.connection_string import RedisAddress
from testkit import eventually
from workflow_gateway.bootstrap import serving
from workflow_gateway.settings import GatewaySettings
from workflow_gateway.tuning import USUAL_TUNING, Tuning

from tests.fakes.orchestrator import FakeExecutions, FakePeer
from tests.integration.gateway.running_gateway import RunningGateway


@pytest.fixture
async def redis_client(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(RedisAddress.parse(redis_url), client_name="test")
    yield client
    await client.aclose()


@pytest.fixture
async def peer(redis_client: Redis) -> AsyncIterator[FakePeer]:
    peer = FakePeer()
    peer.executions.redis = redis_client
    await peer.start()
    yield peer
    await peer.stop()


@pytest.fixture
def executions(peer: FakePeer) -> FakeExecutions:
    return peer.executions


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@asynccontextmanager
async def running(
    peer: FakePeer,
    redis_url: str,
    registry: CollectorRegistry,
    tuning: Tuning = USUAL_TUNING,
    **more: Any,
) -> AsyncIterator[RunningGateway]:
    """A gateway with these further settings, which is subscribed to the doorbell."""
    settings = GatewaySettings(
        redis=redis_url,
        catalog_address=peer.address,
        orchestrator_address=peer.address,
        grpc_listen="127.0.0.1:0",
        http_listen="127.0.0.1:0",
        shutdown_grace=0,
        **more,
    )
    async with serving(settings, registry=registry, tuning=tuning) as (gateway, servers):
        await eventually(lambda: gateway.doorbell.connected)
        yield RunningGateway(gateway, servers)


@pytest.fixture
def tuning() -> Tuning:
    """Periods and limits of `gateway`. A test can give others by `parametrize`."""
    return Tuning()


@pytest.fixture
async def gateway(
    peer: FakePeer, redis_url: str, registry: CollectorRegistry, tuning: Tuning
) -> AsyncIterator[RunningGateway]:
    async with running(peer, redis_url, registry, tuning) as gateway:
        yield gateway


@pytest.fixture
async def channel(gateway: RunningGateway) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{gateway.grpc.port}") as channel:
        yield channel


@pytest.fixture
async def aged_gateway(
    peer: FakePeer, redis_url: str, registry: CollectorRegistry
) -> AsyncIterator[RunningGateway]:
    """A gateway whose connections are old after a second."""
    async with running(peer, redis_url, registry, connection_max_age=1.0) as gateway:
        yield gateway


@pytest.fixture
async def aged_channel(aged_gateway: RunningGateway) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{aged_gateway.grpc.port}") as channel:
        yield channel
