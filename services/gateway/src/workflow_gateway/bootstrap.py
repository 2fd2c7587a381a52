"""Build the service, run it, and stop its parts in order."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from grpc.aio import Channel
from prometheus_client import REGISTRY, CollectorRegistry
from redis.asyncio import Redis
from service_kit.data.redis import Subscriber
from service_kit.data.redis import connect as connect_redis
from service_kit.process import service
from service_kit.process.duties import Duty, always
from service_kit.process.service import Servers
from service_kit.rpc.channel import connect as connect_channel
from service_kit.rpc.server import Registration
from service_kit.rpc.stream_age import StreamAge
from service_kit.tools.clock import SystemClock
from service_kit.tools.tasks import cancel_all
from workflow_contract.doorbell import CHANNEL
from workflowsystem.catalog.v1 import workflow_catalog_service_pb2
from workflowsystem.execution.v1 import execution_service_pb2
from workflowsystem.worker.v1 import worker_service_pb2

from workflow_gateway.forwarder import Forwarder
from workflow_gateway.health import CATALOG, ORCHESTRATOR, HealthAnswer, WorkPath, feed_grpc_health
from workflow_gateway.settings import GatewaySettings
from workflow_gateway.tuning import USUAL_TUNING, Tuning
from workflow_gateway.watch.feeds import Feeds
from workflow_gateway.watch.reader import ExecutionReader
from workflow_gateway.watch.service import WATCH_SERVICE, registration
from workflow_gateway.watch.watcher import Watcher, WatchMetrics

SERVICE_NAME = "workflow-gateway"
CATALOG_SERVICE = workflow_catalog_service_pb2.DESCRIPTOR.services_by_name["WorkflowCatalogService"]
EXECUTION_SERVICE = execution_service_pb2.DESCRIPTOR.services_by_name["ExecutionService"]
WORKER_SERVICE = worker_service_pb2.DESCRIPTOR.services_by_name["WorkerService"]
# Besides the methods that the contract marks as reads: a worker that waits for tasks asks another gateway.
LONG_POLLS = frozenset({"LeaseTasks"})


@dataclass(frozen=True, slots=True)
class Peers:
    """The channels to the services behind the gateway. The reads of watches have a separate channel."""

    catalog: Channel
    orchestrator: Channel
    watches: Channel

    @classmethod
    def of(cls, settings: GatewaySettings) -> Peers:
        """Return the channels to the addresses of the settings; they connect at the first call."""
        orchestrator = settings.orchestrator_address
        return cls(
            connect_channel(settings.catalog_address),
            connect_channel(orchestrator),
            connect_channel(orchestrator),
        )


class Gateway:
    """The parts of the gateway, wired together; nothing runs yet."""

    def __init__(
        self,
        settings: GatewaySettings,
        peers: Peers,
        redis: Redis,
        registry: CollectorRegistry,
        tuning: Tuning = USUAL_TUNING,
    ) -> None:
        clock = SystemClock()
        self.age = StreamAge(settings.connection_max_age, random.uniform)
        reader = ExecutionReader(peers.watches, registry)
        self.feeds = Feeds(reader, clock, look_seconds=tuning.look_seconds, kept=tuning.kept)
        self.watcher = Watcher(
            self.feeds,
            clock,
            WatchMetrics(registry),
            max_watchers=settings.max_watchers,
            watch_seconds=self.age.next_stream_seconds,
        )
        self.doorbell = Subscriber(
            redis, [CHANNEL], on_message=self.feeds.on_doorbell, on_gap=self.feeds.on_gap
        )
        self.work_path = WorkPath(peers.catalog, peers.orchestrator, redis, self._rings_arrive)
        forwarder = partial(
            Forwarder,
            max_streams=settings.max_streams,
            waiting=LONG_POLLS,
            stream_seconds=self.age.next_stream_seconds,
            read_seconds=tuning.read_seconds,
        )
        self.forwarders = [
            forwarder(CATALOG_SERVICE, peers.catalog, peer=CATALOG),
            forwarder(EXECUTION_SERVICE, peers.orchestrator, peer=ORCHESTRATOR),
            forwarder(WORKER_SERVICE, peers.orchestrator, peer=ORCHESTRATOR),
        ]

    def _rings_arrive(self) -> bool:
        return self.doorbell.connected

    def registrations(self) -> list[Registration]:
        """Return the gRPC services: the watch, and the services whose calls are forwarded."""
        return [registration(self.watcher), *(forwarder.registration() for forwarder in self.forwarders)]

    def drain_hooks(self) -> list[Callable[[], Awaitable[None]]]:
        """Return the hooks of the drain: health reports the stop, and the streams end."""
        return [self.work_path.drain, self.watcher.drain, *(forwarder.drain for forwarder in self.forwarders)]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen to the doorbell, and look for events that it did not ring for, while the block lasts."""
        duties: dict[str, Duty] = {
            "doorbell": self.doorbell.run,
            "looks": partial(self.feeds.keep_looking, self._rings_arrive),
        }
        loops = [asyncio.create_task(always(name, duty), name=name) for name, duty in duties.items()]
        try:
            yield
        finally:
            await cancel_all(loops)


@asynccontextmanager
async def serving(
    settings: GatewaySettings, *, registry: CollectorRegistry = REGISTRY, tuning: Tuning = USUAL_TUNING
) -> AsyncIterator[tuple[Gateway, Servers]]:
    """Run the gateway while the block lasts, then drain and stop it. Raise the error that prevents its start.

    Peers and Redis may come up later: health says when they are there. If a process runs several gateways,
    give each one a `registry`.
    """
    async with AsyncExitStack() as resources:
        peers = Peers.of(settings)
        for channel in (peers.catalog, peers.orchestrator, peers.watches):
            resources.push_async_callback(channel.close)
        redis = connect_redis(settings.redis, client_name=SERVICE_NAME)
        resources.push_async_callback(redis.aclose)
        gateway = Gateway(settings, peers, redis, registry, tuning)
        await resources.enter_async_context(gateway.running())
        yield gateway, await resources.enter_async_context(_servers(settings, gateway, registry))


def _servers(
    settings: GatewaySettings, gateway: Gateway, registry: CollectorRegistry
) -> AbstractAsyncContextManager[Servers]:
    return service.running(
        settings,
        gateway.registrations(),
        gateway.work_path.shown,
        always_served=[WORKER_SERVICE.full_name],
        on_drain=gateway.drain_hooks(),
        limits=service.limits_of(settings.max_calls, gateway.age),
        health=HealthAnswer(gateway.work_path),
        feed=lambda _, server: feed_grpc_health(gateway.work_path.all, server, _checks_by_service()),
        registry=registry,
    )


def _checks_by_service() -> dict[str, str]:
    return {
        WATCH_SERVICE: ORCHESTRATOR,
        CATALOG_SERVICE.full_name: CATALOG,
        EXECUTION_SERVICE.full_name: ORCHESTRATOR,
        WORKER_SERVICE.full_name: ORCHESTRATOR,
    }


async def serve(settings: GatewaySettings, stop: asyncio.Event) -> None:
    """Run the gateway until `stop` is set. Raise the error that prevents it from starting."""
    async with serving(settings):
        await stop.wait()
