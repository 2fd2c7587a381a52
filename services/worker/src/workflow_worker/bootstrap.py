"""Builds the service, runs it, and stops its parts in order."""

from __future__ import annotations

import asyncio
import contextlib

import structlog
from service_kit.process.health import HealthChecks, feed_grpc_health
from service_kit.process.http import HttpServer, make_app
from service_kit.rpc.rpc_metrics import RpcMetrics
from service_kit.rpc.server import GrpcServer
from service_kit.tools.word_lists import words
from workflow_sdk.worker.runtime import Worker

from workflow_worker.child_setup import FUNCTION as CHILD_SETUP
from workflow_worker.handlers import built_in_handlers
from workflow_worker.health import WorkerHealth
from workflow_worker.settings import WorkerSettings
from workflow_worker.telemetry import AttemptTelemetry, show_worker

HEALTH_SECONDS = 1.0

log = structlog.get_logger(__name__)


def make_worker(settings: WorkerSettings) -> Worker:
    """Return a worker with the built-in handlers and the user's. Raises TaskDefinitionError."""
    return Worker(
        settings.orchestrator_address,
        tasks=built_in_handlers(words(settings.http_request_allow), settings.http_request_max_bytes),
        modules=words(settings.worker_modules),
        slots=settings.slots,
        child_processes=settings.child_processes,
        child_setup=CHILD_SETUP,
        queues=words(settings.queues),
        namespace=settings.namespace,
        worker_id=settings.worker_id,
        grace=settings.shutdown_grace,
        observer=AttemptTelemetry(verbose=settings.log_level == "debug"),
    )


async def serve(settings: WorkerSettings, stop: asyncio.Event) -> None:
    """Run the worker until `stop` is set, then drain it. Raises the error if it can't start."""
    worker = make_worker(settings)
    structlog.contextvars.bind_contextvars(worker_id=worker.worker_id)
    show_worker(lambda: worker.status)
    health = WorkerHealth(worker.worker_id, lambda: worker.status)
    checks = HealthChecks()
    health.add_to(checks)
    http = HttpServer(settings.http_listen, make_app(checks, health=health.answer))
    server = GrpcServer(settings.grpc_listen, [], metrics=RpcMetrics())
    async with contextlib.AsyncExitStack() as running:
        await http.start()
        running.push_async_callback(http.stop)
        await server.start()
        running.push_async_callback(server.stop, 1.0)
        feed = asyncio.create_task(feed_grpc_health(checks, server, HEALTH_SECONDS))
        running.callback(feed.cancel)
        log.info("worker_started", task_types=worker.task_types)
        await worker.run(stop)
