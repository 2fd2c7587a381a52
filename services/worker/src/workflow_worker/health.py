"""The worker's health: it shows whether the worker can run tasks, not only whether the process lives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from service_kit.process.health import HealthChecks
from workflow_sdk.worker.runtime import WorkerStatus

BLOCKED_SECONDS = 2.0
"""The event loop counts as blocked if it was late by more than this within the last ten seconds."""


class NotHealthyError(Exception):
    """A part of the worker fails; the text says which, and what to do."""


class WorkerHealth:
    """Answers `/health`, and gives the checks of `/readyz` and `grpc.health.v1`."""

    def __init__(self, worker_id: str, status: Callable[[], WorkerStatus]) -> None:
        self._worker_id = worker_id
        self._status = status

    async def answer(self) -> tuple[int, Mapping[str, Any]]:
        """Return the status code and the body of `GET /health`."""
        status = self._status()
        failing = failing_parts(status)
        body = {
            "status": "unhealthy" if failing else "healthy",
            "workerId": self._worker_id,
            "processedJobs": status.processed,
        }
        return (503 if failing else 200), body | failing

    def add_to(self, checks: HealthChecks) -> None:
        """Add the checks `stream`, `event_loop`, `child_processes` and `draining`."""
        checks.check("stream", self._check_stream)
        checks.check("event_loop", self._check_loop)
        checks.check("child_processes", self._check_children)
        checks.check("draining", self._check_draining)

    async def _check_stream(self) -> None:
        status = self._status()
        if not status.connected:
            raise NotHealthyError(f"no session with the orchestrator: {status.problem}")

    async def _check_loop(self) -> None:
        lag = self._status().worst_loop_lag_seconds
        if lag > BLOCKED_SECONDS:
            advice = "write it with `def` instead of `async def`, so that it runs in a child process"
            raise NotHealthyError(f"a handler blocked the event loop for {lag:.1f} s: {advice}")

    async def _check_children(self) -> None:
        problem = self._status().child_problem
        if problem:
            raise NotHealthyError(f"no child process can be started for sync handlers: {problem[:1000]}")

    async def _check_draining(self) -> None:
        if self._status().draining:
            raise NotHealthyError("the worker is draining and accepts no more tasks")


def failing_parts(status: WorkerStatus) -> dict[str, str]:
    """Return the parts that fail, with the names that `/health` has for them."""
    parts = {}
    if not status.connected:
        parts["stream"] = "disconnected"
    if status.worst_loop_lag_seconds > BLOCKED_SECONDS:
        parts["eventLoop"] = "blocked"
    if status.child_problem:
        parts["childProcesses"] = "failing"
    if status.draining:
        parts["worker"] = "draining"
    return parts
