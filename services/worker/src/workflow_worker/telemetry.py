"""Metrics and log lines of attempts. A success is logged at debug level only: most attempts succeed."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from workflow_sdk.context import TaskContext
from workflow_sdk.failures import UNKNOWN_TASK_TYPE, FailureInfo
from workflow_sdk.worker.child_logging import ids_of
from workflow_sdk.worker.observer import AttemptOutcome
from workflow_sdk.worker.runtime import WorkerStatus

DURATION_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800, 3600)
UNKNOWN = "unknown"
"""The label for all task types without a handler: callers could invent any number of types."""

log = structlog.get_logger(__name__)


class AttemptTelemetry:
    """Implements the SDK's WorkerObserver. `verbose` adds a debug line for each start and each success."""

    def __init__(self, registry: CollectorRegistry = REGISTRY, *, verbose: bool = False) -> None:
        self._verbose = verbose
        self._attempts = Counter(
            "workflow_worker_attempts",
            "Attempts that ended on this worker, by outcome.",
            ["task_type", "outcome"],
            registry=registry,
        )
        self._seconds = Histogram(
            "workflow_task_duration_seconds",
            "Seconds from the lease of an attempt to its end.",
            ["task_type"],
            buckets=DURATION_BUCKETS,
            registry=registry,
        )
        self._refused = Counter(
            "workflow_worker_reports_refused",
            "Results that the orchestrator did not record: STALE or REJECTED.",
            ["status"],
            registry=registry,
        )
        self._by_type: dict[tuple[str, AttemptOutcome], tuple[Counter, Histogram]] = {}

    def task_started(self, context: TaskContext) -> None:
        """Add the ids to everything that the handler logs."""
        structlog.contextvars.bind_contextvars(**ids_of(context))
        if self._verbose:
            log.debug("task_started", task_type=context.task_type)

    def task_ended(
        self, context: TaskContext, outcome: AttemptOutcome, seconds: float, failure: FailureInfo | None
    ) -> None:
        """Count the attempt, and log it if it did not succeed."""
        unknown = failure is not None and failure.type == UNKNOWN_TASK_TYPE
        count, duration = self._metrics(UNKNOWN if unknown else context.task_type, outcome)
        count.inc()
        duration.observe(seconds)
        if failure is not None:
            log.info(
                "task_failed",
                **ids_of(context),
                task_type=context.task_type,
                outcome=outcome.value,
                seconds=round(seconds, 3),
                failure_type=failure.type,
                message=failure.message[:500],
                non_retryable=failure.non_retryable,
            )
        elif outcome is not AttemptOutcome.SUCCEEDED:
            log.info(f"task_{outcome.value}", **ids_of(context), task_type=context.task_type)
        elif self._verbose:
            log.debug("task_succeeded", **ids_of(context), seconds=round(seconds, 3))

    def report_refused(self, context: TaskContext, status: str) -> None:
        """Count and log the refused result."""
        self._refused.labels(status).inc()
        log.info("report_refused", **ids_of(context), status=status)

    def _metrics(self, task_type: str, outcome: AttemptOutcome) -> tuple[Counter, Histogram]:
        known = self._by_type.get((task_type, outcome))
        if known is None:
            known = (self._attempts.labels(task_type, outcome.value), self._seconds.labels(task_type))
            self._by_type[task_type, outcome] = known
        return known


def show_worker(status: Callable[[], WorkerStatus], registry: CollectorRegistry = REGISTRY) -> None:
    """Export the slots and the lag of the event loop, which are read at each scrape."""
    slots = Gauge("workflow_worker_slots", "Slots by state.", ["state"], registry=registry)
    slots.labels("busy").set_function(lambda: status().busy)
    slots.labels("free").set_function(lambda: max(0, status().slots - status().busy))
    lag = Gauge(
        "workflow_worker_event_loop_lag_seconds",
        "The longest delay of the event loop in the last ten seconds.",
        registry=registry,
    )
    lag.set_function(lambda: status().worst_loop_lag_seconds)
