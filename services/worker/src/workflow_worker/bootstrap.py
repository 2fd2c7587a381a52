"""Build the service, run it, and stop its parts in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import structlog
from service_kit.process import service
from service_kit.process.health import HealthChecks, feed_grpc_health
from service_kit.process.service import Servers
from service_kit.tools.word_lists import words
from workflow_sdk.worker.runtime import Worker

from workflow_worker.child_setup import FUNCTION as CHILD_SETUP
from workflow_worker.handlers import built_in_handlers
from workflow_worker.health import WorkerHealth
from workflow_worker.settings import WorkerSettings
from workflow_worker.telemetry import AttemptTelemetry, show_worker

HEALTH_SECONDS = 1.0
"""How often `grpc.health.v1` is brought up to date."""
HEALTH_GRACE_SECONDS = 1.0
"""How long calls of `grpc.health.v1` may take to end: `shutdown_grace` is for the tasks."""

log = structlog.get_logger(__name__)


def make_worker(settings: WorkerSettings) -> Worker:
    """Return a worker with the built-in handlers and the user's. Raise TaskDefinitionError."""
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


@asynccontextmanager
async def serving(settings: WorkerSettings) -> AsyncIterator[tuple[Worker, Servers]]:
    """Serve health and metrics of a worker while the block lasts; the block runs the worker.

    Raise the error that prevents the start.
    """
    worker = make_worker(settings)
    structlog.contextvars.bind_contextvars(worker_id=worker.worker_id)
    show_worker(lambda: worker.status)
    health = WorkerHealth(worker.worker_id, lambda: worker.status)
    checks = HealthChecks()
    health.add_to(checks)
    servers = service.running(
        settings,
        [],
        checks,
        health=health.answer,
        feed=partial(feed_grpc_health, interval_seconds=HEALTH_SECONDS),
        grace_seconds=HEALTH_GRACE_SECONDS,
    )
    async with servers as listening:
        yield worker, listening


async def serve(settings: WorkerSettings, stop: asyncio.Event) -> None:
    """Run the worker until `stop` is set, and drain it. Raise the error that prevents it from starting."""
    async with serving(settings) as (worker, _):
        log.info("worker_started", task_types=worker.task_types)
        await worker.run(stop)
