"""Puts the gateway together, runs it, and ends it in good order."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial

import structlog
from grpc.aio import Channel
from prometheus_client import REGISTRY, CollectorRegistry
from redis.asyncio import Redis
from service_kit.data.redis import Subscriber
from service_kit.data.redis import connect as connect_redis
from service_kit.process.http import HttpServer, make_app
from service_kit.rpc.channel import connect as connect_channel
from service_kit.rpc.rpc_metrics import RpcMetrics
from service_kit.rpc.server import GrpcServer, ServerLimits
from service_kit.rpc.stream_age import StreamAge
from service_kit.tools.backoff import Backoff
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

CLIENT_NAME = "workflow-gateway"
CATALOG_SERVICE = workflow_catalog_service_pb2.DESCRIPTOR.services_by_name["WorkflowCatalogService"]
EXECUTION_SERVICE = execution_service_pb2.DESCRIPTOR.services_by_name["ExecutionService"]
WORKER_SERVICE = worker_service_pb2.DESCRIPTOR.services_by_name["WorkerService"]
# Beside the methods that the contract marks as reads: a worker that waits for tasks asks another gateway.
LONG_POLLS = frozenset({"LeaseTasks"})

log = structlog.get_logger(__name__)


class Gateway:
    """The gateway as one object: `start` it, and `stop` it."""

    grpc: GrpcServer
    http: HttpServer
    feeds: Feeds
    doorbell: Subscriber
    watcher: Watcher
    work_path: WorkPath

    def __init__(
        self,
        settings: GatewaySettings,
        registry: CollectorRegistry = REGISTRY,
        tuning: Tuning = USUAL_TUNING,
    ) -> None:
        self._settings = settings
        self._tuning = tuning
        self._registry = registry
        self._resources = AsyncExitStack()
        self._grace_seconds = 0.0
        self._age = StreamAge(settings.connection_max_age, random.uniform)

    async def start(self) -> None:
        """Listen at both addresses. Peers and Redis may come up later; health says when all is there.

        Raises what keeps it from starting. Call `stop` in any case: it closes what is open already.
        """
        catalog = await self._channel(self._settings.catalog_address)
        orchestrator = await self._channel(self._settings.orchestrator_address)
        watches = await self._channel(self._settings.orchestrator_address)
        redis = connect_redis(self._settings.redis, client_name=CLIENT_NAME)
        self._resources.push_async_callback(redis.aclose)
        self._make_watch(watches, redis)
        self.work_path = work_path = WorkPath(catalog, orchestrator, redis, lambda: self.doorbell.connected)
        self._run(
            self.doorbell.run,
            partial(self.feeds.keep_looking, lambda: self.doorbell.connected),
        )
        app = make_app(work_path.shown, health=HealthAnswer(work_path), registry=self._registry)
        self.http = HttpServer(self._settings.http_listen, app)
        self._resources.push_async_callback(self.http.stop)  # after gRPC, so that health answers in the drain
        self.grpc = self._grpc_server(self._forwarders(catalog, orchestrator))
        await self.grpc.start()
        self._run(partial(feed_grpc_health, work_path.all, self.grpc, _checks_by_service()))
        self._resources.push_async_callback(self._stop_grpc)
        await self.http.start()

    async def stop(self, grace_seconds: float) -> None:
        """NOT_SERVING; streams end with what callers need to go on elsewhere; then everything closes.

        May be repeated, and called after a start that failed.
        """
        self._grace_seconds = grace_seconds
        await self._resources.aclose()

    async def _stop_grpc(self) -> None:
        self.work_path.stopping = True
        await self.grpc.stop(self._grace_seconds)

    def _make_watch(self, channel: Channel, redis: Redis) -> None:
        clock = SystemClock()
        reader = ExecutionReader(channel, self._registry)
        self.feeds = Feeds(reader, clock, look_seconds=self._tuning.look_seconds, kept=self._tuning.kept)
        self.watcher = Watcher(
            self.feeds,
            clock,
            WatchMetrics(self._registry),
            max_watchers=self._settings.max_watchers,
            watch_seconds=self._age.next_stream_seconds,
        )
        self.doorbell = Subscriber(
            redis, [CHANNEL], on_message=self.feeds.on_doorbell, on_gap=self.feeds.on_gap
        )

    def _forwarders(self, catalog: Channel, orchestrator: Channel) -> list[Forwarder]:
        forwarder = partial(
            Forwarder,
            max_streams=self._settings.max_streams,
            waiting=LONG_POLLS,
            stream_seconds=self._age.next_stream_seconds,
            read_seconds=self._tuning.read_seconds,
        )
        return [
            forwarder(CATALOG_SERVICE, catalog, peer=CATALOG),
            forwarder(EXECUTION_SERVICE, orchestrator, peer=ORCHESTRATOR),
            forwarder(WORKER_SERVICE, orchestrator, peer=ORCHESTRATOR),
        ]

    def _grpc_server(self, forwarders: list[Forwarder]) -> GrpcServer:
        return GrpcServer(
            self._settings.grpc_listen,
            [registration(self.watcher), *(forwarder.registration() for forwarder in forwarders)],
            metrics=RpcMetrics(self._registry),
            on_drain=[self.watcher.drain, *(forwarder.drain for forwarder in forwarders)],
            always_served=[WORKER_SERVICE.full_name],
            limits=ServerLimits(
                max_calls=self._settings.max_calls,
                max_connection_age_seconds=self._settings.connection_max_age or None,
                max_connection_age_grace_seconds=self._age.grace_seconds,
            ),
        )

    async def _channel(self, address: str) -> Channel:
        channel = connect_channel(address)
        self._resources.push_async_callback(channel.close)
        return channel

    def _run(self, *loops: Callable[[], Awaitable[None]]) -> None:
        tasks = [asyncio.create_task(_always(loop)) for loop in loops]
        self._resources.push_async_callback(cancel_all, tasks)


async def _always(loop: Callable[[], Awaitable[None]]) -> None:
    """Run an endless loop until cancelled, and begin it again if it fails."""
    backoff = Backoff(first_seconds=0.1, max_seconds=5.0)
    while True:
        try:
            await loop()
        except Exception as error:
            log.error("background_task_failed", exc_info=error)
        await asyncio.sleep(backoff.next())


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
