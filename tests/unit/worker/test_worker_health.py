from dataclasses import replace

from service_kit.process.health import HealthChecks
from workflow_sdk.worker.runtime import WorkerStatus
from workflow_worker.health import WorkerHealth

WELL = WorkerStatus(
    connected=True,
    problem="",
    draining=False,
    slots=10,
    busy=2,
    processed=150,
    loop_lag_seconds=0.0,
    worst_loop_lag_seconds=0.01,
)


async def failing_checks(health: WorkerHealth) -> tuple[str, ...]:
    """Return what keeps the worker from being ready."""
    checks = HealthChecks()
    health.add_to(checks)
    return (await checks.run()).failing


async def test_a_healthy_worker_answers_to_the_letter() -> None:
    health = WorkerHealth("worker-123", lambda: WELL)

    assert await health.answer() == (
        200,
        {"status": "healthy", "workerId": "worker-123", "processedJobs": 150},
    )
    assert await failing_checks(health) == ()


async def test_a_worker_without_its_stream_is_neither_healthy_nor_ready() -> None:
    health = WorkerHealth("w", lambda: replace(WELL, connected=False, problem="refused"))
    status, body = await health.answer()

    assert status == 503
    assert await failing_checks(health) == ("stream",)
    assert body == {"status": "unhealthy", "workerId": "w", "processedJobs": 150, "stream": "disconnected"}


async def test_a_worker_whose_loop_is_blocked_is_neither_healthy_nor_ready() -> None:
    health = WorkerHealth("w", lambda: replace(WELL, worst_loop_lag_seconds=2.5))
    status, body = await health.answer()

    assert (status, body["eventLoop"]) == (503, "blocked")
    assert await failing_checks(health) == ("event_loop",)


async def test_a_draining_worker_is_neither_healthy_nor_ready() -> None:
    health = WorkerHealth("w", lambda: replace(WELL, draining=True))

    assert await health.answer() == (
        503,
        {"status": "unhealthy", "workerId": "w", "processedJobs": 150, "worker": "draining"},
    )
    assert await failing_checks(health) == ("draining",)


async def test_a_worker_that_can_start_no_child_process_is_neither_healthy_nor_ready() -> None:
    health = WorkerHealth("w", lambda: replace(WELL, child_problem="no memory"))
    status, body = await health.answer()

    assert (status, body["childProcesses"]) == (503, "failing")
    assert await failing_checks(health) == ("child_processes",)
