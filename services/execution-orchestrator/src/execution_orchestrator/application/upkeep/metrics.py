"""The metrics of executions and tasks. They count after the commit, so a rollback never counts."""

import asyncio
from contextlib import suppress
from datetime import datetime

from prometheus_client import Counter, Gauge, Histogram

from execution_orchestrator.application.engine.committed import Committed
from execution_orchestrator.application.ports.hints import HintsUnavailableError
from execution_orchestrator.application.ports.queue import Queue
from execution_orchestrator.application.ports.store import ExecutionChanges
from execution_orchestrator.domain.events import Event, EventType
from execution_orchestrator.domain.state_machine import AttemptStatus

QUEUE_SECONDS = 5.0
QUEUES_AT_ONCE = 1_000
"""Queues whose statistics come with one round trip to Redis."""
MAX_REASONS = 100
"""Different values of the label `reason`. Any further value counts as `other`."""
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 86400)

started = Counter("workflow_executions_started_total", "Executions accepted.")
completed = Counter("workflow_executions_completed_total", "Executions that ended as Completed.")
failed = Counter("workflow_executions_failed_total", "Executions that ended as Failed.", ["reason"])
cancelled = Counter("workflow_executions_cancelled_total", "Executions that ended as Cancelled.")
quarantined = Counter(
    "workflow_executions_quarantined_total", "Executions that could not be decided and stand still."
)
duration = Histogram(
    "workflow_execution_duration_seconds", "From accepted to final, in seconds.", buckets=SECONDS
)
schedule_to_start = Histogram(
    "workflow_task_schedule_to_start_seconds",
    "From ready to claimed by a worker, in seconds.",
    buckets=SECONDS,
)
attempts = Counter("workflow_task_attempts_total", "Attempts that ended, by how they did.", ["outcome"])
leases_expired = Counter("workflow_leases_expired_total", "Leases that ran out: their workers were lost.")
worker_sessions = Gauge("workflow_worker_sessions", "Sessions of workers that are open on this replica.")
queue_length = Gauge("workflow_queue_length", "Jobs waiting in the queue.", ["queue"])
queue_oldest_age = Gauge(
    "workflow_queue_oldest_age_seconds", "How long the oldest job has waited, in seconds.", ["queue"]
)

catalog_calls = Counter("workflow_catalog_calls_total", "Calls of the catalog; one for many starts.")
catalog_queries = Counter(
    "workflow_catalog_queries_total", "Questions in those calls: one for each workflow and version of a call."
)

_reasons: set[str] = set()
_FINAL = {
    EventType.EXECUTION_COMPLETED: completed,
    EventType.EXECUTION_CANCELLED: cancelled,
}
_COUNTED_ALONE = frozenset({*_FINAL, EventType.EXECUTION_FAILED, EventType.EXECUTION_QUARANTINED})
"""Events that are counted one by one; the others of a batch are counted together."""


def observe(committed: Committed) -> None:
    """Count the changes of a committed batch. This is a listener of commits."""
    new = succeeded = 0
    for changes in committed.changes.values():
        for event in changes.events:
            if event.type is EventType.EXECUTION_CREATED:
                new += 1
            elif event.type is EventType.TASK_SUCCEEDED:
                succeeded += bool(event.worker_id)
            elif event.type in _COUNTED_ALONE:
                _count(changes, event)
        for attempt in changes.attempts:
            attempts.labels(attempt.status.lower()).inc()
            if attempt.status is AttemptStatus.LOST:
                leases_expired.inc()
    if new:
        started.inc(new)
    if succeeded:
        attempts.labels("succeeded").inc(succeeded)
    for waited in committed.waits:
        schedule_to_start.observe(waited)


def _count(changes: ExecutionChanges, event: Event) -> None:
    match event.type:
        case EventType.EXECUTION_QUARANTINED:
            quarantined.inc()
        case EventType.EXECUTION_FAILED:
            failed.labels(_reason(event.failure.type if event.failure else "unknown")).inc()
            _observe_end(changes, event.time)
        case EventType.EXECUTION_COMPLETED | EventType.EXECUTION_CANCELLED:
            _FINAL[event.type].inc()
            _observe_end(changes, event.time)


def _reason(failure_type: str) -> str:
    """Return the label of a failure. Users choose the types of failures, so the number of labels has a
    limit.
    """
    if failure_type in _reasons or len(_reasons) < MAX_REASONS:
        _reasons.add(failure_type)
        return failure_type
    return "other"


def _observe_end(changes: ExecutionChanges, end: datetime) -> None:
    duration.observe((end - changes.execution.create_time).total_seconds())


async def watch_queues(queue: Queue) -> None:
    """Keep the gauges of the queues up to date, until cancelled."""
    while True:
        with suppress(HintsUnavailableError):  # then the gauges keep their last values
            names = await queue.queues()
            for first in range(0, len(names), QUEUES_AT_ONCE):
                for stats in await queue.stats(names[first : first + QUEUES_AT_ONCE]):
                    queue_length.labels(stats.queue).set(stats.length)
                    queue_oldest_age.labels(stats.queue).set(stats.oldest_age_seconds or 0.0)
        await asyncio.sleep(QUEUE_SECONDS)
