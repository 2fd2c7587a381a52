"""Puts the gateway together, runs it, and ends it in good order."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any

import grpc
import structlog
from google.protobuf.descriptor import ServiceDescriptor
from prometheus_client import REGISTRY, CollectorRegistry
from service_kit.channel import connect as connect_channel
from service_kit.clock import SystemClock
from service_kit.http import HttpServer, make_app
from service_kit.redis import Subscriber
from service_kit.redis import connect as connect_redis
from service_kit.rpc_metrics import RpcMetrics
from service_kit.server import GrpcServer
from service_kit.tasks import cancel_all
from workflowsystem.catalog.v1 import workflow_catalog_service_pb2
from workflowsystem.execution.v1 import execution_service_pb2
from workflowsystem.worker.v1 import worker_service_pb2

from workflow_gateway.forwarder import Forwarder
from workflow_gateway.health import CATALOG, ORCHESTRATOR, HealthAnswer, WorkPath, feed_grpc_health
from workflow_gateway.settings import GatewaySettings
from workflow_gateway.watch.doorbell import CHANNEL
from workflow_gateway.watch.feeds import Feeds
from workflow_gateway.watch.reader import ExecutionReader
from workflow_gateway.watch.service import WATCH_SERVICE, registration
from workflow_gateway.watch.watcher import Watcher, WatchMetrics

CLIENT_NAME = "workflow-gateway"
CATALOG_SERVICE = workflow_catalog_service_pb2.DESCRIPTOR.services_by_name["WorkflowCatalogService"]
EXECUTION_SERVICE = execution_service_pb2.DESCRIPTOR.services_by_name["ExecutionService"]
WORKER_SERVICE = worker_service_pb2.DESCRIPTOR.services_by_name["WorkerService"]

log = structlog.get_logger(__name__)


class Gateway:
    """The gateway as one object: `start` it, and `stop` it."""

    def __init__(self, settings: GatewaySettings, registry: CollectorRegistry = REGISTRY) -> None:
        self._settings = settings
        self._registry = registry
        self._resources = AsyncExitStack()
        self._background: list[asyncio.Task[None]] = []
        self.grpc: GrpcServer
        self.http: HttpServer
        self.feeds: Feeds
        self.doorbell: Subscriber
        self.watcher: Watcher

    async def start(self) -> None:
        """Listen at both addresses. Peers and Redis may come up later; health says when all is there."""
        catalog = await self._channel(self._settings.catalog_address)
        orchestrator = await self._channel(self._settings.orchestrator_address)
        watches = await self._channel(self._settings.orchestrator_address)
        redis = connect_redis(self._settings.redis, client_name=CLIENT_NAME)
        self._resources.push_async_callback(redis.aclose)

        clock = SystemClock()
        self.feeds = feeds = Feeds(ExecutionReader(watches, self._registry), clock)
        self.watcher = watcher = Watcher(
            feeds, clock, WatchMetrics(self._registry), max_watchers=self._settings.max_watchers
        )
        doorbell = Subscriber(redis, [CHANNEL], on_message=feeds.on_doorbell, on_gap=feeds.on_gap)
        self.doorbell = doorbell
        work_path = WorkPath(catalog, orchestrator, redis, lambda: doorbell.connected)
        forwarders = [
            self._forwarder(CATALOG_SERVICE, catalog, CATALOG),
            self._forwarder(EXECUTION_SERVICE, orchestrator, ORCHESTRATOR),
            self._forwarder(WORKER_SERVICE, orchestrator, ORCHESTRATOR),
        ]
        self._serve(watcher, forwarders, work_path)
        await self.grpc.start()
        await self.http.start()
        self._run(doorbell.run())
        self._run(feeds.keep_polling(lambda: doorbell.connected))
        self._run(feed_grpc_health(work_path.needed, self.grpc, _checks_by_service()))

    async def stop(self, grace_seconds: float) -> None:
        """NOT_SERVING; streams end with what callers need to go on elsewhere; then everything closes."""
        await self.grpc.stop(grace_seconds)
        await self.http.stop()
        await cancel_all(self._background)
        await self._resources.aclose()

    def _serve(self, watcher: Watcher, forwarders: list[Forwarder], work_path: WorkPath) -> None:
        async def drain() -> None:
            watcher.drain()
            for forwarder in forwarders:
                forwarder.drain()

        services = [registration(watcher), *(forwarder.registration() for forwarder in forwarders)]
        metrics = RpcMetrics(self._registry)
        self.grpc = GrpcServer(self._settings.grpc_listen, services, metrics=metrics, on_drain=[drain])
        answer = HealthAnswer(work_path.all)
        app = make_app(work_path.needed, health=answer, registry=self._registry)
        self.http = HttpServer(self._settings.http_listen, app)

    def _forwarder(self, service: ServiceDescriptor, channel: grpc.aio.Channel, peer: str) -> Forwarder:
        return Forwarder(service, channel, peer=peer, max_streams=self._settings.max_streams)

    async def _channel(self, address: str) -> grpc.aio.Channel:
        channel = connect_channel(address)
        self._resources.push_async_callback(channel.close)
        return channel

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        task.add_done_callback(_log_end)
        self._background.append(task)


def _log_end(task: asyncio.Task[None]) -> None:
    """Background work ends only by being cancelled."""
    if not task.cancelled():
        log.error("background_task_ended", exc_info=task.exception())


def _checks_by_service() -> dict[str, str]:
    return {
        WATCH_SERVICE: ORCHESTRATOR,
        CATALOG_SERVICE.full_name: CATALOG,
        EXECUTION_SERVICE.full_name: ORCHESTRATOR,
        WORKER_SERVICE.full_name: ORCHESTRATOR,
    }


async def serve(settings: GatewaySettings, stop: asyncio.Event) -> None:
    """Run the gateway until `stop` is set."""
    gateway = Gateway(settings)
    try:
        await gateway.start()
        await stop.wait()
    finally:
        await gateway.stop(settings.shutdown_grace)
